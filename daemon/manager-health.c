/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of manager-health.h. */

#include "daemon/manager-health.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/device-error.h"
#include "daemon/survey.h"
#include "daemon/sysfs/attr.h"
#include "daemon/util/fd.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Beside the journals of the leases. A line for each: NAME VENDOR PRODUCT SUBVENDOR SUBPRODUCT, and
 * "recovering" while the end of its recovery has not been heard.
 */
#define FILE_NAME "../failed-devices"
#define FILE_NEW  "../failed-devices.new"
#define FILE_MAX  (1024 * 1024)

struct failed_device {
	char *name;
	uint32_t ids[4];
	bool recovering; /* it has failed only if we were not there to hear the end of that */
	UT_hash_handle hh;
};

static void read_ids(const struct device *device, uint32_t ids[4])
{
	ids[0] = device->vendor;
	ids[1] = device->product;
	ids[2] = device->subvendor;
	ids[3] = device->subproduct;
}

static struct failed_device *find(const struct manager *manager, const char *name)
{
	struct failed_device *failed;

	HASH_FIND_STR(manager->failed, name, failed);
	return failed;
}

static struct failed_device *remember(struct manager *manager, const char *name,
				      const uint32_t ids[4])
{
	struct failed_device *failed = find(manager, name);

	if (!failed) {
		failed = calloc(1, sizeof(*failed));
		if (!failed || !(failed->name = strdup(name))) {
			free(failed);
			return NULL;
		}
		HASH_ADD_KEYPTR(hh, manager->failed, failed->name, strlen(failed->name), failed);
		if (!failed->hh.tbl) {
			free(failed->name);
			free(failed);
			return NULL;
		}
	}
	memcpy(failed->ids, ids, sizeof(failed->ids));
	return failed;
}

static void forget(struct manager *manager, struct failed_device *failed)
{
	HASH_DEL(manager->failed, failed);
	free(failed->name);
	free(failed);
}

/* ---- the file */

static int write_lines(const struct manager *manager, const char *but, int fd)
{
	FILE *f = fdopen(fd, "w");
	int r = 0;

	if (!f) {
		fd_close(fd);
		return -errno;
	}
	HASH_FOREACH (failed, manager->failed)
		if (!streq0(failed->name, but) &&
		    fprintf(f, "%s %" PRIx32 " %" PRIx32 " %" PRIx32 " %" PRIx32 "%s\n",
			    failed->name, failed->ids[0], failed->ids[1], failed->ids[2],
			    failed->ids[3], failed->recovering ? " recovering" : "") < 0)
			r = -EIO;
	if (fflush(f) != 0 || fsync(fileno(f)) < 0)
		r = -errno;
	fclose(f);
	return r;
}

/* All that are failed, without the one of this name. The file before is intact if it fails. */
static int write_file(const struct manager *manager, const char *but)
{
	int dir = manager->engine.journal.dir, fd, r;

	fd = openat(dir, FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY,
		    0600);
	if (fd < 0)
		return -errno;
	r = write_lines(manager, but, fd);
	if (r >= 0 && renameat(dir, FILE_NEW, dir, FILE_NAME) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir, FILE_NEW, 0);
	return r;
}

static int read_line(struct manager *manager, const char *line)
{
	struct failed_device *failed;
	char name[256];
	uint32_t ids[4];
	bool recovering;
	int end = 0;

	if (sscanf(line, "%255s %8x %8x %8x %8x%n", name, &ids[0], &ids[1], &ids[2], &ids[3],
		   &end) != 5)
		return -EBADMSG;
	recovering = streq(line + end, " recovering");
	if ((line[end] && !recovering) || !attr_name_valid(name))
		return -EBADMSG;
	failed = remember(manager, name, ids);
	if (!failed)
		return -ENOMEM;
	failed->recovering = recovering;
	return 0;
}

/* ---- what becomes of a device */

static bool is_same(const struct failed_device *failed, const struct device *device)
{
	uint32_t ids[4];

	read_ids(device, ids);
	return memcmp(ids, failed->ids, sizeof(ids)) == 0;
}

static void drop(struct manager *manager, struct failed_device *failed)
{
	int r = write_file(manager, failed->name);

	if (r < 0)
		log_warning("the list of failed devices: %s", strerror(-r));
	forget(manager, failed);
}

void manager_health_appeared(struct manager *manager, const char *name)
{
	struct failed_device *failed = find(manager, name);
	struct device *device = topology_device(&manager->topology, name);

	if (!failed || !device)
		return;
	/* It went in the middle of its recovery, and the kernel has set it up from the beginning.
	 */
	if (failed->recovering) {
		drop(manager, failed);
		return;
	}
	if (is_same(failed, device)) {
		device->health = HEALTH_FAILED;
		device->last_recovery = RECOVERY_FAILED;
		return;
	}
	log_record(MESSAGE_DEVICE_CLEARED, LOG_NOTICE,
		   LOG_FIELDS({ FIELD_DEVICE, name }, { FIELD_REASON, "replaced" }),
		   "%s, which had failed, is other hardware now", name);
	drop(manager, failed);
}

/* What may have failed has, until the kernel says otherwise. */
static void not_heard(struct manager *manager, struct failed_device *failed)
{
	struct device *device = topology_device(&manager->topology, failed->name);

	if (!device || device->health == HEALTH_FAILED)
		return;
	if (!is_same(failed, device)) {
		drop(manager, failed);
		return;
	}
	device->health = HEALTH_FAILED;
	log_record(MESSAGE_DEVICE_ERROR, LOG_ERR,
		   LOG_FIELDS({ FIELD_DEVICE, device->name }, { FIELD_EVENT, "not-heard" }),
		   "%s: its recovery from an error has begun, and how that ended was not heard: it "
		   "counts as failed",
		   device->name);
	bus_announce_device(manager->bus, device->name, false);
}

static void keep(struct manager *manager, const struct device *device, bool recovering)
{
	struct failed_device *failed;
	uint32_t ids[4];
	int r = -ENOMEM;

	read_ids(device, ids);
	failed = remember(manager, device->name, ids);
	if (failed) {
		failed->recovering = recovering;
		r = write_file(manager, NULL);
	}
	if (r < 0)
		log_error("%s has an error, and a restart of vfiod will not know of it: %s",
			  device->name, strerror(-r));
}

/* What is on disk, and from what it is known that it did not fail after all. */
static enum health note(struct manager *manager, const struct device *device,
			enum recovery recovery)
{
	struct failed_device *failed = find(manager, device->name);
	enum health health = health_after(device->health, recovery);

	switch (recovery) {
	case RECOVERY_BEGIN:
		if (!failed)
			keep(manager, device, true);
		break;
	case RECOVERY_SUCCESS:
		if (failed && failed->recovering) {
			drop(manager, failed);
			health = HEALTH_OK;
		}
		break;
	case RECOVERY_FAILED:
		if (!failed || failed->recovering)
			keep(manager, device, false);
		break;
	case RECOVERY_MAX:
	case RECOVERY_INVALID:
		break;
	}
	return health;
}

void manager_health_recover(struct manager *manager)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;
	size_t size;
	int r;

	r = file_read_at(manager->engine.journal.dir, FILE_NAME, FILE_MAX, &text, &size);
	if (r == -ENOENT)
		return;
	for (char *line = r >= 0 ? strtok_r(text, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		int k = read_line(manager, line);

		r = k < 0 ? k : r;
	}
	if (r < 0)
		log_error("the list of failed devices of an earlier run: %s; look at each before "
			  "it is given away",
			  strerror(-r));
	HASH_FOREACH (failed, manager->failed) {
		if (failed->recovering)
			not_heard(manager, failed);
		else
			manager_health_appeared(manager, failed->name);
	}
}

void manager_health_lost(struct manager *manager)
{
	HASH_FOREACH (failed, manager->failed)
		if (failed->recovering)
			not_heard(manager, failed);
}

void manager_health_done(struct manager *manager)
{
	HASH_FOREACH (failed, manager->failed)
		forget(manager, failed);
}

static void record(const struct device *device, const char *event, const struct lease *lease,
		   const char *source, enum recovery recovery)
{
	int level = recovery == RECOVERY_FAILED	 ? LOG_ERR
		    : recovery == RECOVERY_BEGIN ? LOG_WARNING
						 : LOG_NOTICE;

	log_record(MESSAGE_DEVICE_ERROR, level,
		   LOG_FIELDS({ FIELD_DEVICE, device->name }, { FIELD_EVENT, event },
			      { FIELD_LEASE, lease ? lease->id : NULL }, { FIELD_REASON, source }),
		   "%s: %s%s%s%s%s", device->name, event, source ? ", through " : "",
		   source ? source : "", lease ? ", of lease " : "", lease ? lease->id : "");
}

/* source: the bridge above whose recovery it was; NULL: its own. */
static void take(struct manager *manager, struct device *device, enum recovery recovery,
		 bool online, const char *source)
{
	const struct lease *lease = ledger_device(&manager->ledger, device->name);

	/* The bridge's failure and its own are one: newer kernels say both. */
	if (recovery == RECOVERY_FAILED && device->last_recovery == RECOVERY_FAILED)
		return;
	device->last_recovery = recovery;
	device->health = note(manager, device, recovery);
	record(device, recovery_to_string(recovery), lease, source, recovery);
	bus_announce_device(manager->bus, device->name, false);
	if (lease)
		bus_device_error(manager, lease, device, recovery, online, source);
}

/*
 * That recovery below a bridge failed is said of the bridge alone before Linux 6.6 or so: what is
 * below it is then as broken (pcie_do_recovery() in drivers/pci/pcie/err.c).
 */
static void take_below(struct manager *manager, const char *bridge, const char *syspath)
{
	_cleanup_free_ struct device **devices = NULL;
	size_t length = strlen(syspath), n;

	devices = topology_devices_sorted(&manager->topology, &n);
	for (size_t i = 0; devices && i < n; i++) {
		struct device *device = devices[i];

		if (streq(device->subsystem, "pci") &&
		    strncmp(device->syspath, syspath, length) == 0 &&
		    device->syspath[length] == '/')
			take(manager, device, RECOVERY_FAILED, false, bridge);
	}
	if (!devices)
		log_error("%s: out of memory: what is below it has failed, and is not marked",
			  bridge);
}

void manager_device_error(struct manager *manager, const struct uevent *event)
{
	struct device *device = topology_device(&manager->topology, event->name);
	int recovery = recovery_from_uevent(event->error_event);

	if (!device || !streq(device->subsystem, event->subsystem))
		return;
	if (recovery < 0) {
		log_warning("%s: the kernel said %s, which is not known", device->name,
			    event->error_event);
		return;
	}
	take(manager, device, (enum recovery)recovery, event->online, NULL);
	if (recovery == RECOVERY_FAILED && device->bridge)
		take_below(manager, device->name, device->syspath);
	/* The state that the firmware has of it is read there. */
	survey_poke(manager->survey);
}

int manager_clear_health(struct manager *manager, const char *name, const char *why)
{
	struct failed_device *failed = find(manager, name);
	struct device *device = topology_device(&manager->topology, name);
	int r = failed ? write_file(manager, name) : 0;

	if (r < 0)
		return r;
	if (!failed && (!device || device->health == HEALTH_OK))
		return 0;
	log_record(MESSAGE_DEVICE_CLEARED, LOG_NOTICE,
		   LOG_FIELDS({ FIELD_DEVICE, name }, { FIELD_REASON, why }),
		   "%s may be given away again: %s", name, why);
	if (failed)
		forget(manager, failed);
	if (device) {
		device->health = HEALTH_OK;
		device->last_recovery = RECOVERY_INVALID;
	}
	bus_announce_device(manager->bus, name, false);
	return 0;
}

void manager_device_reset(struct manager *manager, const char *name)
{
	int r = manager_clear_health(manager, name, "reset");

	if (r < 0)
		log_error("%s was reset, and stays failed: %s", name, strerror(-r));
}
