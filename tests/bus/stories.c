/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of stories.h. */

#include "tests/bus/stories.h"

#include <sys/wait.h>
#include <unistd.h>

#define NEWCOMER "0000:02:03.0"
#define PORT	 "0000:00:1c.0"
#define BELOW	 "0000:1c:00.0"
#define MAKER	 "0000:1d:00.0"
#define MADE	 "0000:1d:10.0"
#define MDEV	 "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"

/* ---- what a story waits for */

static bool is_gone(const char *lease)
{
	_cleanup_free_ char *state = property(alice, lease, "Lease", "State");

	if (state && streq(state, "failed"))
		ensure_home(alice, lease);
	return !state && lease_is_gone(alice, lease);
}

static bool is_leased(const char *lease)
{
	return property_is(alice, lease, "Lease", "State", "leased");
}

static bool device_is(const char *device, const char *state)
{
	_cleanup_free_ char *path = mock_asprintf(DEVICE_PATH "pci_%s", device);

	for (char *p = path + strlen(DEVICE_PATH); *p; p++)
		if (*p == ':' || *p == '.')
			*p = '_';
	return property_is(root, path, "Device", "State", state);
}

static bool is_on(const char *device, const char *driver, const char *override)
{
	_cleanup_free_ char *is = host_driver(device), *has = host_override(device);

	return streq(is, driver) && streq(has, override);
}

/* ---- the stories: each ends with everything home */

/* Its holder ends, while the daemon runs or does not. */
static void lifeline(void)
{
	int ends[2];
	char *lease;

	ck_assert_int_eq(pipe(ends), 0);
	lease = ensure_leased(alice, &(struct ask){ .devices = { NIC },
						    .mode = "node",
						    .name = "lifeline",
						    .lifeline = ends[0] });
	crash_now();
	EVENTUALLY(is_leased(lease));
	close(ends[1]);
	EVENTUALLY(is_gone(lease));
	ck_driver(NIC, "e1000e");
	close(ends[0]);
	free(lease);
}

/* Its fds are open at a restart, and when it is released. */
static void pair(void)
{
	struct taken taken = { 0 };
	char *lease = ensure_leased(
		alice,
		&(struct ask){ .devices = { NIC_A, NIC_B }, .mode = "cdev", .name = "pair" });

	ensure_taken(alice, lease, &taken);
	ck_assert_uint_eq(taken.n, 3);
	crash_now();
	EVENTUALLY(is_leased(lease));
	ck_assert(mk_is_held(bed.host->fd, NIC_A));
	ensure_ended(alice, lease);
	check_invariants();
	bed_sleep(20000);
	supervise();
	{
		_cleanup_free_ char *driver = host_driver(NIC_A);

		/* An fd is open: no host driver, and nobody else (I5). */
		ck_assert_str_ne(driver, "e1000");
	}
	taken_done(&taken);
	ensure_home(alice, lease);
	free(lease);
}

/* The second device of the group is kept shut. */
static void withheld(void)
{
	char *lease = ensure_leased(alice, &(struct ask){ .devices = { NIC_A },
							  .withhold = { NIC_B },
							  .mode = "group",
							  .name = "withheld" });

	ck_assert(is_on(NIC_B, "", "none"));
	ensure_home(alice, lease);
	free(lease);
}

/* The kernel gives no driver to other VFs of its function meanwhile. */
static void virtual(void)
{
	char *lease = ensure_leased(
		alice, &(struct ask){ .devices = { VF_A }, .mode = "cdev", .name = "virtual" });

	ensure_home(alice, lease);
	free(lease);
}

/* The driver does not come. */
static void failing(void)
{
	_cleanup_claim_ struct claim claim = { 0 };
	char *path;

	mock_fail(bed.host, "PROBE", ADMIN, EIO, 1);
	claim = acquire(alice, .devices = { ADMIN }, .mode = "cdev", .name = "failing");
	supervise();
	tree_remove(bed.host->fd, "fail");
	path = lease_of_name(alice, "failing");
	if (path)
		ensure_home(alice, path);
	free(path);
	ck_override(ADMIN, "e1000e");
}

static bool newcomer_is_fenced(void)
{
	return is_on(NEWCOMER, "", "none") && device_is(NEWCOMER, "fenced");
}

/* A device comes to a leased group, and its driver is faster. */
static void newcomer(void)
{
	char *lease = ensure_leased(
		alice,
		&(struct ask){ .devices = { NIC_A, NIC_B }, .mode = "cdev", .name = "newcomer" });

	mock_pci_add(bed.host, NEWCOMER, .vendor = 0x8086, .device = 0x100e, .class_code = 0x020000,
		     .group = 2, .iommu = "dmar0", .driver = "e1000", .numa_node = -1);
	EVENTUALLY(newcomer_is_fenced());
	/* All its steps: what is killed next is not its process' business. */
	EVENTUALLY(daemon_said(NEWCOMER " came to a group of lease"));
	crash_now();
	EVENTUALLY(is_leased(lease));
	EVENTUALLY(newcomer_is_fenced());
	ensure_home(alice, lease);
	ck_driver(NEWCOMER, "e1000");
	mock_device_remove(bed.host, "pci", NEWCOMER);
	free(lease);
}

/* Somebody else writes to sysfs behind the daemon. */
static void interfered(void)
{
	char *lease = ensure_leased(
		alice, &(struct ask){ .devices = { NIC }, .mode = "node", .name = "interfered" });

	/* All of it before the daemon looks. */
	ck_assert_int_gt(bed.daemon, 1);
	kill(bed.daemon, SIGSTOP);
	mk_override(bed.host->fd, "pci", NIC, "e1000e");
	mk_unbind(bed.host->fd, "pci", "vfio-pci", NIC);
	mk_probe(bed.host->fd, "pci", NIC);
	kill(bed.daemon, SIGCONT);
	/* What cannot be put right ends. */
	EVENTUALLY((is_on(NIC, "vfio-pci", "vfio-pci") && is_leased(lease)) ||
		   (tree_exists(bed.host->fd, "failed") && !is_leased(lease)));
	ensure_home(alice, lease);
	free(lease);
}

static bool try_to_reset(const char *lease, const char *kind)
{
	return streq(call_error(alice, lease, "Lease", "Reset", "ass", 1, BELOW, kind), "");
}

/* The owner has the function reset, and then all that is below its port. */
static void reset(void)
{
	_cleanup_free_ char *path = NULL, *above = NULL;
	char *lease;

	mock_pci_add(bed.host, PORT, .vendor = 0x8086, .device = 0x1234, .class_code = 0x060400,
		     .group = 60, .iommu = "dmar0", .driver = "pcieport", .numa_node = -1);
	mock_pci_add(bed.host, BELOW, .vendor = 0x8086, .device = 0x10d3, .class_code = 0x120000,
		     .group = 61, .iommu = "dmar0", .driver = "e1000e", .numa_node = -1,
		     .parent = "pci0000:00/" PORT, .reset = "flr");
	above = mk_device_path(bed.host->fd, "pci", PORT);
	path = mk_device_path(bed.host->fd, "pci", BELOW);
	tree_write(bed.host->fd, "", "%s/reset_subordinate", above);
	tree_write(bed.host->fd, "", "%s/reset", path);
	lease = ensure_leased(
		alice, &(struct ask){ .devices = { BELOW }, .mode = "cdev", .name = "reset" });
	EVENTUALLY(try_to_reset(lease, "function"));
	EVENTUALLY(try_to_reset(lease, "bus"));
	ck_assert(is_leased(lease));
	ensure_home(alice, lease);
	ck_driver(BELOW, "e1000e");
	mock_device_remove(bed.host, "pci", BELOW);
	mock_device_remove(bed.host, "pci", PORT);
	free(lease);
}

static bool maker_says(const char *attr, const char *value)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "pci", MAKER);
	_cleanup_free_ char *now = tree_read(bed.host->fd, "%s/%s", path, attr);

	return streq0(now, value);
}

static bool try_to_have(unsigned int n)
{
	return streq(
		call_error(alice, DEVICE_PATH "pci_0000_1d_00_0", "Device", "SetNumVfs", "u", n),
		"");
}

/* Virtual functions are made, others in their place, one is leased, and all are taken away. */
static void functions(void)
{
	char *lease;

	mock_pci_add(bed.host, MAKER, .vendor = 0x8086, .device = 0x10d3, .class_code = 0x120000,
		     .group = 62, .iommu = "dmar0", .driver = "e1000e", .numa_node = -1);
	mock_pf(bed.host, MAKER, 4);
	EVENTUALLY(try_to_have(2));
	EVENTUALLY(try_to_have(1));
	ck_assert(maker_says("sriov_numvfs", "1"));
	EVENTUALLY(maker_says("sriov_drivers_autoprobe", "1"));
	ck_assert(is_on(MADE, "", ""));
	lease = ensure_leased(
		alice, &(struct ask){ .devices = { MADE }, .mode = "cdev", .name = "functions" });
	ck_assert(!try_to_have(0));
	ck_assert(maker_says("sriov_numvfs", "1"));
	ensure_home(alice, lease);
	EVENTUALLY(try_to_have(0));
	ck_assert(maker_says("sriov_numvfs", "0"));
	EVENTUALLY(maker_says("sriov_drivers_autoprobe", "1"));
	mock_device_remove(bed.host, "pci", MAKER);
	free(lease);
}

static bool mdev_is_home(void)
{
	_cleanup_free_ char *path = mk_device_path(bed.host->fd, "mdev", MDEV);
	_cleanup_free_ char *driver = path ? tree_link_name(bed.host->fd, "%s/driver", path) : NULL;

	return streq0(driver, "mtty");
}

/* A device that goes, and comes as another one, each time it is bound. */
static void mediated(void)
{
	char *lease;

	mock_driver_add(bed.host, "mdev", "mtty", "vfio\nevery\n");
	mock_mdev_add(bed.host, MDEV, "virtual/mtty/mtty", "mtty-1");
	lease = ensure_leased(
		alice, &(struct ask){ .devices = { MDEV }, .mode = "cdev", .name = "mediated" });
	crash_now();
	EVENTUALLY(is_leased(lease));
	ck_assert(mdev_is_home());
	ensure_home(alice, lease);
	EVENTUALLY(mdev_is_home());
	mock_device_remove(bed.host, "mdev", MDEV);
	tree_remove(bed.host->fd, "sys/bus/mdev/drivers/mtty");
	free(lease);
}

static bool try_to_add(const char *lease, const char *device)
{
	if (device_is(device, "granted"))
		return true;
	call_error(alice, lease, "Lease", "AddDevices", "asa{sv}", 1, device, 0);
	return false;
}

static bool try_to_remove(const char *lease, const char *device, const char *becomes)
{
	if (device_is(device, becomes))
		return true;
	call_error(alice, lease, "Lease", "RemoveDevices", "as", 1, device);
	/* What leaves does so as a lease of its own. */
	mend_group(11);
	return false;
}

/* Another group comes and goes, and so does a device of the lease's own that was kept shut. */
static void changed_in(const char *mode)
{
	char *lease = ensure_leased(alice, &(struct ask){ .devices = { NIC_A },
							  .withhold = { NIC_B },
							  .mode = mode,
							  .name = "changed" });

	EVENTUALLY(try_to_add(lease, BARE));
	EVENTUALLY(try_to_add(lease, NIC_B));
	EVENTUALLY(try_to_remove(lease, NIC_B, "withheld"));
	EVENTUALLY(try_to_remove(lease, BARE, "host"));
	ck_assert(is_leased(lease));
	ensure_home(alice, lease);
	free(lease);
}

static void changed(void)
{
	changed_in("cdev");
}

static void changed_node(void)
{
	changed_in("node");
}

/* Once: each time anew it has the whole time to let go. */
static void try_to_revoke(const char *lease)
{
	_cleanup_free_ char *how = property(root, lease, "Lease", "Revocation");

	if (how && !strstr(how, "unbinding") && !strstr(how, "asked") && !strstr(how, "killed"))
		call_error(root, lease, "Lease", "Revoke", "ts", (uint64_t)0, "test");
}

/* Its holder has to be killed for it to let go. */
static void revoked(void)
{
	pid_t holder = idle_process(ALICE);
	int pidfd = pidfd_of(holder);
	char *lease = ensure_leased(alice, &(struct ask){ .devices = { NIC },
							  .mode = "cdev",
							  .name = "revoked",
							  .lifeline = pidfd });

	mock_hold(bed.host, NIC, true);
	EVENTUALLY((try_to_revoke(lease), waitpid(holder, NULL, WNOHANG) == holder));
	mock_hold(bed.host, NIC, false);
	ensure_home(alice, lease);
	close(pidfd);
	free(lease);
}

static const struct {
	const char *name;
	void (*tell)(void);
} stories[STORY_MAX] = {
#define X(story) { #story, story },
	STORIES(X)
#undef X
};

const char *story_name(int story)
{
	return stories[story].name;
}

static bool all_is_home(const char *before)
{
	_cleanup_free_ char *now = host_picture();

	return streq(now, before);
}

void tell_story(int story)
{
	_cleanup_free_ char *before = host_picture(), *after = NULL;
	uint64_t end = bed_now() + BED_TIMEOUT_USEC;

	stories[story].tell();
	while (!all_is_home(before) && bed_now() < end) {
		supervise();
		bed_turn();
	}
	after = host_picture();
	ck_same(before, after);
	EVENTUALLY(bed.n_stored == 0);
}
