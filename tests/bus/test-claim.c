/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The main job in every mode: claim, handoff, release, home. What the host has afterwards is what
 * it had before, and what the bus said meanwhile was true, complete and no more than that.
 */

#include "tests/bus/picture.h"

#include <stdio.h>
#include <sys/stat.h>

struct job {
	const char *what;
	struct ask ask;
	const char *taken;
	struct {
		const char *device, *driver, *override, *state;
	} devices[4];
	const char *did;     /* in the mocked kernel's log */
	const char *did_not; /* not there */
	const char *mode;    /* of the lease; NULL: as asked */
};

#define ON_VFIO	 "vfio-pci", "vfio-pci", "granted"
#define PARKED	 "vfio-pci", "vfio-pci", "withheld"
#define ON_NONE	 "", "none", "withheld"
#define PATH_NIC DEVICE_PATH "pci_0000_03_00_0"

static const struct job jobs[] = {
	{ "auto is cdev where the kernel has it",
	  { .devices = { NIC } },
	  "iommufd -, device " NIC ": end 2",
	  { { NIC, ON_VFIO } },
	  "IOMMU_OPTION 0 0 1 0",
	  "ATTACH",
	  "cdev" },
	{ "cdev",
	  { .devices = { NIC }, .mode = "cdev" },
	  "iommufd -, device " NIC ": end 2",
	  { { NIC, ON_VFIO } },
	  .did = "PROBE " NIC " 0" },
	{ "by path",
	  { .devices = { PATH_NIC }, .mode = "cdev", .expect = { NIC, "8086:10d3" } },
	  "iommufd -, device " NIC ": end 2",
	  { { NIC, ON_VFIO } } },
	{ "cdev, two devices",
	  { .devices = { NIC_B, NIC_A }, .mode = "cdev" },
	  "iommufd -, device " NIC_A ", device " NIC_B ": end 3",
	  { { NIC_A, ON_VFIO }, { NIC_B, ON_VFIO } } },
	{ "cdev, one withheld",
	  { .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "cdev" },
	  "iommufd -, device " NIC_A ": end 2",
	  { { NIC_A, ON_VFIO }, { NIC_B, PARKED } } },
	{ "group",
	  { .devices = { NIC }, .mode = "group" },
	  "container -, group 3: end 2",
	  { { NIC, ON_VFIO } },
	  "ATTACH group-3 0",
	  "SET_IOMMU" },
	{ "group, bare",
	  { .devices = { NIC }, .mode = "group", .no_attach = true },
	  "container -, group 3: end 2",
	  { { NIC, ON_VFIO } },
	  .did_not = "ATTACH" },
	{ "group with device fds",
	  { .devices = { NIC }, .mode = "group", .device_fds = true },
	  "container -, group 3, device " NIC ": end 3",
	  { { NIC, ON_VFIO } },
	  "GET_DEVICE group-3 " NIC " 0" },
	{ "group, one withheld",
	  { .devices = { NIC_B }, .withhold = { NIC_A }, .mode = "group", .device_fds = true },
	  "container -, group 2, device " NIC_B ": end 3",
	  { { NIC_B, ON_VFIO }, { NIC_A, ON_NONE } },
	  .did_not = "GET_DEVICE group-2 " NIC_A },
	{ "group, two groups",
	  { .devices = { NIC, BARE }, .mode = "group" },
	  "container -, group 3, group 11: end 3",
	  { { NIC, ON_VFIO }, { BARE, ON_VFIO } } },
	{ "node",
	  { .devices = { NIC }, .mode = "node" },
	  "end 0",
	  { { NIC, ON_VFIO } },
	  "NODE_GRANT vfio/3" },
	{ "node, one withheld",
	  { .devices = { NIC_A }, .withhold = { NIC_B }, .mode = "node" },
	  "end 0",
	  { { NIC_A, ON_VFIO }, { NIC_B, ON_NONE } },
	  "NODE_GRANT vfio/2" },
	{ "an administrator's override",
	  { .devices = { ADMIN } },
	  "iommufd -, device " ADMIN ": end 2",
	  { { ADMIN, ON_VFIO } } },
	{ "no driver",
	  { .devices = { BARE } },
	  "iommufd -, device " BARE ": end 2",
	  { { BARE, ON_VFIO } } },
	{ "reserved at boot",
	  { .devices = { VFIO_A, VFIO_B }, .mode = "group" },
	  "container -, group 6: end 2",
	  { { VFIO_A, ON_VFIO }, { VFIO_B, ON_VFIO } },
	  "UNBOUND " VFIO_B },
	{ "behind a bridge",
	  { .devices = { BEHIND }, .withhold = { BRIDGE }, .mode = "group" },
	  "container -, group 5: end 2",
	  { { BEHIND, ON_VFIO }, { BRIDGE, ON_NONE } } },
	{ "a pool",
	  { .devices = { "pool:pair" }, .withhold = { NIC_B }, .mode = "cdev" },
	  "iommufd -, device " NIC_A ": end 2",
	  { { NIC_A, ON_VFIO }, { NIC_B, PARKED } } },
	{ "a virtual function",
	  { .devices = { VF_A } },
	  "iommufd -, device " VF_A ": end 2",
	  { { VF_A, ON_VFIO }, { PF, "igb", "", "host" } } },
	{ "named",
	  { .devices = { NIC }, .name = "vm one", .shared = true, .persist = true },
	  "iommufd -, device " NIC ": end 2",
	  { { NIC, ON_VFIO } } },
};

static char *path_of(struct client *client, const char *device)
{
	sd_bus_message *m = call(client, VFIOD_ROOT, "Manager", "FindDevice", "s", device);
	char *path;

	ck_assert_str_eq(error_of(m), "");
	path = value_text(m);
	sd_bus_message_unref(m);
	return path;
}

static void check_leased(const struct job *job, struct client *client, const struct claim *claim)
{
	_cleanup_free_ char *groups = property(client, claim->lease, "Lease", "Groups");

	for (size_t i = 0; i < ARRAY_SIZE(job->devices) && job->devices[i].device; i++) {
		_cleanup_free_ char *path = path_of(client, job->devices[i].device);
		_cleanup_free_ char *group = property(client, path, "Device", "Group");

		ck_driver(job->devices[i].device, job->devices[i].driver);
		ck_override(job->devices[i].device, job->devices[i].override);
		UNTIL(property_is(client, path, "Device", "Driver", job->devices[i].driver));
		if (job->devices[i].state)
			ck_property(client, path, "Device", "State", job->devices[i].state);
		if (job->devices[i].state && streq(job->devices[i].state, "host"))
			continue;
		ck_assert_ptr_nonnull(strstr(groups, group));
		ck_property(client, group, "Group", "State", "leased");
		ck_property(client, group, "Group", "Lease", claim->lease);
	}
	ck_property(client, claim->lease, "Lease", "State", "leased");
	ck_property(client, claim->lease, "Lease", "Name", job->ask.name ?: "");
	ck_property(client, claim->lease, "Lease", "Holders", "[]");
	ck_property(client, claim->lease, "Lease", "Errors", "[]");
	if (job->ask.mode || job->mode)
		ck_property(client, claim->lease, "Lease", "Mode", job->ask.mode ?: job->mode);
}

/* A line each, in this order, each once; what the devices say is between. */
static void check_announced(struct watch *watch, const char *lease)
{
	static const struct {
		const char *format;
		size_t n;
	} lines[] = { { "added %s", 1 },	   { "changed %s: State", 3 },
		      { "changed %s:", 3 },	   { "removed %s", 1 },
		      { "ended %s: released", 1 }, { "added ", 1 },
		      { "removed ", 1 },	   { "ended ", 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_free_ char *line = mock_asprintf(lines[i].format, lease);
		_cleanup_free_ char *all = strv_join(watch_lines(watch), "\n");

		ck_assert_msg(watch_count(watch, line) == lines[i].n, "%zu times \"%s\":\n%s",
			      watch_count(watch, line), line, all);
	}
}

START_TEST(main_job)
{
	const struct job *job = &jobs[_i];
	struct watch *watch = watch_new(CAROL);
	struct client *alice = client_new(ALICE);
	_cleanup_free_ char *host = host_picture(), *there = NULL, *back = NULL;
	_cleanup_claim_ struct claim claim = { 0 };
	_cleanup_taken_ struct taken taken = { 0 };

	watch_settled(watch);
	watch_clear(watch);
	there = bus_picture(alice);
	claim = acquire_ask(alice, &job->ask);
	ck_claimed(claim);
	check_leased(job, alice, &claim);
	take(claim.handoff, &taken);
	if (job->taken)
		ck_taken(&taken, job->taken);
	if (job->did)
		ck_assert_msg(host_did(job->did), "%s: not done: %s", job->what, job->did);
	if (job->did_not)
		ck_assert_msg(!host_did(job->did_not), "%s: done: %s", job->what, job->did_not);
	taken_done(&taken);
	ck_assert_str_eq(release(alice, claim.lease), "");
	UNTIL(watch_count(watch, "ended"));
	/* When it is told, it is so. */
	back = host_picture();
	ck_same(host, back);
	watch_settled(watch);
	check_announced(watch, claim.lease);
	free(back);
	back = bus_picture(alice);
	/* A device that is bound to VFIO again gets a new node; who uses what is seen in time. */
	picture_forget(there, "VfioNode");
	picture_forget(back, "VfioNode");
	picture_forget_uses(there);
	picture_forget_uses(back);
	ck_same(there, back);
	client_free(alice);
	watch_free(watch);
}
END_TEST

/* What is sent are the nodes, and the daemon keeps none of them. */
START_TEST(fds_are_the_nodes)
{
	struct client *alice = client_new(ALICE);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = "cdev");
	_cleanup_taken_ struct taken taken = { 0 };
	struct stat a, b;
	_cleanup_free_ char *node = NULL, *path = NULL;

	ck_claimed(claim);
	node = property(alice, PATH_NIC, "Device", "VfioNode");
	ck_assert_int_eq(strncmp(node, "/dev/", 5), 0);
	take(claim.handoff, &taken);
	path = mock_asprintf("%s/host%s", bed.dir, node);
	ck_assert_int_eq(fstat(taken.fds[1], &a) | stat(path, &b), 0);
	ck_assert_uint_eq(a.st_ino, b.st_ino);
	ck_assert(mk_is_held(bed.host->fd, NIC));
	taken_done(&taken);
	/* Its own copies went with the child that sent them. */
	UNTIL(!mk_is_held(bed.host->fd, NIC));
	client_free(alice);
}
END_TEST

/* Fresh fds for a manager that restarted; not while the VMM has the old ones. */
START_TEST(get_fds_again)
{
	static const char *const modes[] = { "cdev", "group" };
	struct client *alice = client_new(ALICE);
	_cleanup_claim_ struct claim claim = acquire(alice, .devices = { NIC }, .mode = modes[_i]);
	struct taken first = { 0 }, second = { 0 };
	int fd;

	ck_claimed(claim);
	take(claim.handoff, &first);
	ck_assert_uint_eq(first.n, 2);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	take(fd, &second);
	ck_assert_uint_eq(second.n, 0);
	ck_assert_msg(strncmp(second.last, "error GroupBusy ", 16) == 0, "%s", second.last);
	fd_close(fd);
	taken_done(&second);
	taken_done(&first);
	ck_assert_str_eq(get_fds(alice, claim.lease, &fd), "");
	take(fd, &second);
	ck_assert_uint_eq(second.n, 2);
	ck_assert_str_eq(second.last, "end 2");
	taken_done(&second);
	fd_close(fd);
	client_free(alice);
}
END_TEST

/* The short way: what the daemon itself cycled last goes on without a worker. */
START_TEST(short_way)
{
	struct client *alice = client_new(ALICE);

	for (int i = 0; i < 2; i++) {
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { VFIO_A, VFIO_B }, .mode = "cdev");
		_cleanup_taken_ struct taken taken = { 0 };

		ck_claimed(claim);
		/* The claim of the first round cycled them; that of the second need not. */
		ck_assert(host_did("UNBOUND " VFIO_A) == (i == 0));
		take(claim.handoff, &taken);
		ck_assert_uint_eq(taken.n, 3);
		taken_done(&taken);
		ck_assert_str_eq(release(alice, claim.lease), "");
		UNTIL(lease_gone(alice, claim.lease));
		ck_driver(VFIO_A, "vfio-pci");
		ck_override(VFIO_B, "vfio-pci");
		ck_assert(host_did("UNBOUND " VFIO_A));
		/* The events of the release are heard, and are no reason to distrust it. */
		bed_sleep(50000);
		tree_remove(bed.host->fd, "log");
	}
	/* Somebody else cycles one: it is not ours alone any more. */
	ck_assert_int_eq(mk_unbind(bed.host->fd, "pci", "vfio-pci", VFIO_A), 0);
	ck_assert_int_eq(mk_probe(bed.host->fd, "pci", VFIO_A), 0);
	UNTIL(property_is(alice, DEVICE_PATH "pci_0000_06_00_0", "Device", "Driver", "vfio-pci"));
	tree_remove(bed.host->fd, "log");
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { VFIO_A, VFIO_B }, .mode = "cdev");

		ck_claimed(claim);
		ck_assert(host_did("UNBOUND " VFIO_A));
		ck_assert(host_did("UNBOUND " VFIO_B));
	}
	client_free(alice);
}
END_TEST

/* An owner's entry on /dev/iommu is there as long as one of its leases in node mode needs it. */
START_TEST(iommu_entry_is_shared)
{
	struct client *alice = client_new(ALICE), *bob = client_new(BOB);
	_cleanup_claim_ struct claim one = acquire(alice, .devices = { NIC }, .mode = "node");
	_cleanup_claim_ struct claim two = acquire(alice, .devices = { BARE }, .mode = "node");
	_cleanup_claim_ struct claim other = acquire(bob, .devices = { ADMIN }, .mode = "node");

	ck_claimed(one);
	ck_claimed(two);
	ck_claimed(other);
	ck_assert_str_eq(release(alice, one.lease), "");
	UNTIL(lease_gone(alice, one.lease));
	ck_assert(tree_exists(bed.host->fd, "acl/iommu/%u", ALICE));
	ck_assert(!tree_exists(bed.host->fd, "acl/vfio!3/%u", ALICE));
	ck_assert(tree_exists(bed.host->fd, "acl/vfio!11/%u", ALICE));
	ck_assert_str_eq(release(alice, two.lease), "");
	UNTIL(lease_gone(alice, two.lease));
	ck_assert(!tree_exists(bed.host->fd, "acl/vfio!11/%u", ALICE));
	ck_assert(tree_exists(bed.host->fd, "acl/iommu/%u", BOB));
	if (ALICE != BOB)
		ck_assert(!tree_exists(bed.host->fd, "acl/iommu/%u", ALICE));
	client_free(alice);
	client_free(bob);
}
END_TEST

/* A lease's groups count for their IOMMU, once. */
START_TEST(iommu_counts)
{
	struct client *alice = client_new(ALICE);
	const char *dmar0 = "/org/vfiod1/iommu/dmar0";
	_cleanup_claim_ struct claim one = acquire(alice, .devices = { NIC, BARE });
	_cleanup_claim_ struct claim two = acquire(alice, .devices = { NIC_A, NIC_B });

	ck_claimed(one);
	ck_claimed(two);
	ck_property(alice, dmar0, "Iommu", "Leases", "2");
	ck_property(alice, dmar0, "Iommu", "InUse", "true");
	ck_property(alice, "/org/vfiod1/iommu/dmar1", "Iommu", "InUse", "false");
	ck_assert_str_eq(release(alice, one.lease), "");
	ck_assert_str_eq(release(alice, two.lease), "");
	UNTIL(lease_gone(alice, one.lease) && lease_gone(alice, two.lease));
	ck_property(alice, dmar0, "Iommu", "Leases", "0");
	ck_property(alice, dmar0, "Iommu", "InUse", "false");
	client_free(alice);
}
END_TEST

/* Kernels without iommufd, without groups, with nothing. */
START_TEST(features)
{
	static const struct {
		const char *features, *mode, *error, *becomes;
	} cases[] = {
		{ "group", "auto", "", "group" },
		{ "group", "cdev", "ModeUnsupported", NULL },
		{ "iommufd cdev", "auto", "", "cdev" },
		{ "iommufd cdev", "group", "ModeUnsupported", NULL },
		{ "iommufd cdev", "node", "", "node" },
		{ "iommufd", "auto", "ModeUnsupported", NULL },
		{ "", "auto", "ModeUnsupported", NULL },
		{ "", "node", "ModeUnsupported", NULL },
	};
	struct client *alice;

	bed_make();
	mock_features(bed.host, cases[_i].features);
	bus_start();
	daemon_start();
	alice = client_new(ALICE);
	{
		_cleanup_claim_ struct claim claim =
			acquire(alice, .devices = { NIC }, .mode = cases[_i].mode);

		ck_refused(claim, cases[_i].error);
		if (cases[_i].becomes)
			ck_property(alice, claim.lease, "Lease", "Mode", cases[_i].becomes);
		else
			ck_driver(NIC, "e1000e");
	}
	client_free(alice);
	bed_stop();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("claim");

	bed_test(suite, bed_start, bed_stop, main_job, ARRAY_SIZE(jobs));
	bed_test(suite, bed_start, bed_stop, fds_are_the_nodes, 1);
	bed_test(suite, bed_start, bed_stop, get_fds_again, 2);
	bed_test(suite, bed_start, bed_stop, short_way, 1);
	bed_test(suite, bed_start, bed_stop, iommu_entry_is_shared, 1);
	bed_test(suite, bed_start, bed_stop, iommu_counts, 1);
	bed_test(suite, NULL, NULL, features, 8);
	return bed_main(suite, false);
}
