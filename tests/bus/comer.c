/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of comer.h. */

#include "tests/bus/comer.h"

#include "daemon/util/fd.h"

#include <fcntl.h>

struct comers comers;

static int on_fenced(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *device, *group, *outcome;

	ck_assert_int_ge(sd_bus_message_read(m, "oos", &device, &group, &outcome), 0);
	ck_assert_int_ge(strv_extendf(&comers.fenced, "%s %s %s", device + strlen(DEVICE_PATH),
				      group + strlen("/org/vfiod1/group/"), outcome),
			 0);
	return 0;
}

void comers_start(void)
{
	bed_start();
	alice = client_new(ALICE);
	ck_assert_int_ge(sd_bus_match_signal(alice->bus, &comers.slot, VFIOD_NAME, VFIOD_ROOT,
					     "org.vfiod1.Manager", "DeviceFenced", on_fenced, NULL),
			 0);
	comers.watch = watch_new(0);
}

void comers_stop(void)
{
	if (comers.watch)
		watch_settled(comers.watch);
	comers.watch = watch_free(comers.watch);
	comers.slot = sd_bus_slot_unref(comers.slot);
	alice = client_free(alice);
	strv_free(comers.fenced);
	comers.fenced = NULL;
	bed_stop();
}

size_t n_fenced(void)
{
	return strv_length(comers.fenced);
}

const char *fence_record(size_t i)
{
	return i < n_fenced() ? comers.fenced[i] : NULL;
}

void come_with(const char *name, const struct mock_pci *pci, const char *driver)
{
	struct mock_pci device = *pci;
	_cleanup_free_ char *path = NULL;

	device.driver = driver;
	if (driver)
		tree_rename(bed.host->fd, "uevent", "uevent.away");
	mock_pci_add_full(bed.host, name, &device);
	if (!driver)
		return;
	tree_rename(bed.host->fd, "uevent.away", "uevent");
	path = mk_device_path(bed.host->fd, "pci", name);
	mk_event(bed.host->fd, "add", "pci", name, path, NULL, NULL);
	mk_event(bed.host->fd, "bind", "pci", name, path, driver, NULL);
}

void come_as(const char *name, int group, unsigned int device, const char *driver)
{
	const struct mock_pci pci = {
		.vendor = 0x8086,
		.device = device,
		.class_code = 0x020000,
		.group = group,
		.iommu = "dmar0",
		.numa_node = -1,
	};

	come_with(name, &pci, driver);
}

void come(const char *driver)
{
	come_as(COMER, 2, 0x100e, driver);
}

void go(const char *name)
{
	mock_device_remove(bed.host, "pci", name);
}

bool is_shut(const char *device)
{
	return is_on(device, "", "none");
}

bool is_on(const char *device, const char *driver, const char *override)
{
	_cleanup_free_ char *d = host_driver(device), *o = host_override(device);

	return streq(d, driver) && streq(o, override);
}

void kill_daemon(void)
{
	sd_bus_creds *creds = NULL;

	daemon_kill();
	while (sd_bus_get_name_creds(alice->bus, VFIOD_NAME, 0, &creds) >= 0) {
		creds = sd_bus_creds_unref(creds);
		bed_turn();
	}
}

void release_by_root(const char *lease)
{
	struct client *root = client_new(0);

	ck_assert_str_eq(release(root, lease), "");
	UNTIL(lease_gone(root, lease));
	client_free(root);
}

/* ---- config space */

static int open_config(const char *device, int flags)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", device);
	_cleanup_free_ char *config = mock_asprintf("%s/config", path);
	int fd = openat(bed.host->fd, config, flags | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

void set_bus_master(const char *device, bool on)
{
	_cleanup_close_ int fd = open_config(device, O_RDWR);
	unsigned char command;

	ck_assert_int_eq(pread(fd, &command, 1, 4), 1);
	command = (unsigned char)(on ? command | 4 : command & ~4);
	ck_assert_int_eq(pwrite(fd, &command, 1, 4), 1);
}

bool is_bus_master(const char *device)
{
	_cleanup_close_ int fd = open_config(device, O_RDONLY);
	unsigned char command;

	ck_assert_int_eq(pread(fd, &command, 1, 4), 1);
	return command & 4;
}
