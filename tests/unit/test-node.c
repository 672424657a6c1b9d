/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opening VFIO's nodes and guarding them: nodes that are links, other devices or no devices; every
 * way in which somebody else than root could be let in; ACL masks; and that an entry for the owner
 * gives nobody else anything. Needs root to make nodes; ends as skipped without.
 */

#include "daemon/vfio/features.h"
#include "daemon/vfio/node.h"
#include "daemon/vfio/open.h"
#include "tests/unit/fake-dev.h"

#include <acl/libacl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/acl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define NULL_MINOR 3
#define ZERO_MINOR 5
#define FULL_MINOR 7

static struct fake_dev fake;
static struct host *host = &fake.host;

static void setup(void)
{
	fake_dev_init(&fake);
	fake_dev_group(&fake, 9, ZERO_MINOR);
	fake_dev_device(&fake, "0000:03:00.0", 9, "vfio3", FULL_MINOR);
	fake_dev_sysfs(&fake, "class/misc/vfio", NULL_MINOR);
	fake_dev_node(&fake, "vfio/vfio", NULL_MINOR);
	fake_dev_sysfs(&fake, "class/misc/iommu", NULL_MINOR);
	fake_dev_node(&fake, "iommu", NULL_MINOR);
}

/* As under systemd's RestrictSUIDSGID=: no openat2(). */
static void setup_filtered(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { .len = ARRAY_SIZE(code), .filter = code };
	struct open_how how = { .flags = O_PATH };

	setup();
	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
	ck_assert_int_lt(syscall(SYS_openat2, host->dev, "iommu", &how, sizeof(how)), 0);
	ck_assert_int_eq(errno, ENOSYS);
}

static void teardown(void)
{
	fake_dev_done(&fake);
}

static void put_link(const char *target, const char *path)
{
	unlinkat(host->dev, path, 0);
	ck_assert_int_eq(symlinkat(target, host->dev, path), 0);
}

/* ---- opening */

static unsigned int minor_of(int fd)
{
	struct stat st;

	ck_assert_msg(fd >= 0, "%s", strerror(-fd));
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	return minor(st.st_rdev);
}

START_TEST(test_open)
{
	char *node = NULL;

	ck_assert_uint_eq(minor_of(vfio_open_container(host)), NULL_MINOR);
	ck_assert_uint_eq(minor_of(vfio_open_iommufd(host)), NULL_MINOR);
	ck_assert_uint_eq(minor_of(vfio_open_group(host, 9)), ZERO_MINOR);
	ck_assert_uint_eq(minor_of(vfio_open_device(host, "0000:03:00.0")), FULL_MINOR);
	ck_assert_int_eq(vfio_device_node(host, "0000:03:00.0", &node), 0);
	ck_assert_str_eq(node, "vfio3");
	free(node);
}
END_TEST

START_TEST(test_open_missing)
{
	char *node = NULL;

	ck_assert_int_eq(vfio_open_group(host, 10), -ENOENT);
	ck_assert_int_eq(vfio_open_device(host, "0000:04:00.0"), -ENOENT);
	ck_assert_int_eq(vfio_device_node(host, "0000:04:00.0", &node), -ENOENT);
	/* A node that sysfs does not know, and one of which only sysfs knows. */
	fake_dev_node(&fake, "vfio/11", NULL_MINOR);
	ck_assert_int_eq(vfio_open_group(host, 11), -ENOENT);
	fake_dev_sysfs(&fake, "class/vfio/12", NULL_MINOR);
	ck_assert_int_eq(vfio_open_group(host, 12), -ENOENT);
	/* A kernel with groups only has vfio-dev/vfioN, and no node for it. */
	fake_dev_device(&fake, "0000:05:00.0", 9, "vfio4", 0);
	ck_assert_int_eq(vfio_device_node(host, "0000:05:00.0", &node), -ENOENT);
	ck_assert_int_eq(vfio_open_device(host, "0000:05:00.0"), -ENOENT);
}
END_TEST

START_TEST(test_open_wrong_device)
{
	fake_dev_node(&fake, "vfio/9", NULL_MINOR);
	ck_assert_int_eq(vfio_open_group(host, 9), -ENODEV);
	fake_dev_node(&fake, "vfio/devices/vfio3", NULL_MINOR);
	ck_assert_int_eq(vfio_open_device(host, "0000:03:00.0"), -ENODEV);
	/* The right number, of a block device. */
	unlinkat(host->dev, "vfio/9", 0);
	ck_assert_int_eq(mknodat(host->dev, "vfio/9", S_IFBLK | 0600, makedev(1, ZERO_MINOR)), 0);
	ck_assert_int_eq(vfio_open_group(host, 9), -ENODEV);
	unlinkat(host->dev, "vfio/9", 0);
	tree_write(fake.root, "", "dev/vfio/9");
	ck_assert_int_eq(vfio_open_group(host, 9), -ENODEV);
	unlinkat(host->dev, "vfio/9", 0);
	/* An open of this one would hang. */
	ck_assert_int_eq(mkfifoat(host->dev, "vfio/9", 0600), 0);
	ck_assert_int_eq(vfio_open_group(host, 9), -ENODEV);
}
END_TEST

START_TEST(test_open_garbled_sysfs)
{
	static const char *const numbers[] = {
		"",	   "\n",      "1\n",	"1:5:7\n",  "-1:5\n",	      "1:-5\n",
		"0x1:5\n", "1:5 x\n", "1 :5\n", "1:5\n\n1", "99999999999:5\n"
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		tree_write(fake.root, numbers[i], "sys/class/vfio/9/dev");
		ck_assert_msg(vfio_open_group(host, 9) < 0, "%s", numbers[i]);
	}
}
END_TEST

START_TEST(test_open_links)
{
	/* To the very same device: the link is refused, not where it leads. */
	fake_dev_node(&fake, "real", ZERO_MINOR);
	put_link("../real", "vfio/9");
	ck_assert_int_eq(vfio_open_group(host, 9), -ELOOP);
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, NULL), -ELOOP);
	ck_assert_int_eq(node_reset(host, "vfio/9"), -ELOOP);
	ck_assert_int_eq(node_grant(host, "vfio/9", 1000), -ELOOP);
	put_link("/dev/zero", "vfio/9");
	ck_assert_int_eq(vfio_open_group(host, 9), -ELOOP);
	/* A directory on the way. */
	ck_assert_int_eq(renameat(host->dev, "vfio/devices", host->dev, "elsewhere"), 0);
	put_link("../elsewhere", "vfio/devices");
	ck_assert_int_eq(vfio_open_device(host, "0000:03:00.0"), -ELOOP);
}
END_TEST

START_TEST(test_open_names)
{
	static const char *const bad[] = {
		"",
		"vfio",
		"vfio/",
		"vfio/../iommu",
		"vfio/09",
		"vfio/9/",
		"vfio/ 9",
		"vfio/+9",
		"vfio/noiommu-9",
		"/dev/iommu",
		"vfio/-1",
		"vfio/devices/",
		"iommu/",
		"vfio/devices/9",
		"vfio//9",
		"vfio/9 ",
		"vfio/devices/noiommu-vfio3",
		"vfio/devices/vfio",
		"null",
		"vfio/devices/vfio-3",
		"vfio/99999999999",
		"vfio/devices/vfio3/../vfio3",
	};
	char path[VFIO_NODE_SYSFS_MAX], *node = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ck_assert_msg(vfio_node_path(host, bad[i]) == -EINVAL, "%s", bad[i]);
		ck_assert_int_eq(vfio_node_sysfs(bad[i], path), -EINVAL);
		ck_assert_int_eq(node_check(host, bad[i], NULL, 0, NULL), -EINVAL);
	}
	ck_assert_int_eq(vfio_device_node(host, "../0000:03:00.0", &node), -EINVAL);
	ck_assert_int_eq(vfio_device_node(host, "..", &node), -EINVAL);
	ck_assert_int_eq(vfio_open_device(host, ""), -EINVAL);
	ck_assert_int_eq(vfio_node_sysfs("vfio/0", path), 0);
	ck_assert_str_eq(path, "class/vfio/0");
	ck_assert_int_eq(vfio_node_sysfs("vfio/devices/vfio4294967295", path), 0);
	ck_assert_str_eq(path, "class/vfio-dev/vfio4294967295");
}
END_TEST

/* Its cdev is a noiommu one: there is none for us. */
START_TEST(test_noiommu)
{
	char *node = NULL;

	fake_dev_device(&fake, "0000:06:00.0", 13, "noiommu-vfio5", 0);
	tree_write(fake.root, "1:5\n",
		   "sys/bus/pci/devices/0000:06:00.0/vfio-dev/noiommu-vfio5/dev");
	ck_assert_int_eq(vfio_device_node(host, "0000:06:00.0", &node), -ENOENT);
	fake_dev_sysfs(&fake, "class/vfio/noiommu-13", ZERO_MINOR);
	fake_dev_node(&fake, "vfio/noiommu-13", ZERO_MINOR);
	ck_assert_int_eq(vfio_open_group(host, 13), -ENOENT);
}
END_TEST

/* ---- who is let in */

static void set_acl(const char *node, const char *text)
{
	_cleanup_free_ char *path = mock_asprintf("%s/dev/%s", fake.path, node);
	acl_t acl = acl_from_text(text);

	ck_assert_msg(acl != NULL, "%s: %m", text);
	ck_assert_msg(acl_set_file(path, ACL_TYPE_ACCESS, acl) == 0, "%s: %m", text);
	acl_free(acl);
}

/* "u::rw-,u:1000:rw-,g::---,m::rw-,o::---" */
static char *get_acl(const char *node)
{
	_cleanup_free_ char *path = mock_asprintf("%s/dev/%s", fake.path, node);
	acl_t acl = acl_get_file(path, ACL_TYPE_ACCESS);
	char *text, *copy;

	ck_assert_ptr_nonnull(acl);
	text = acl_to_any_text(acl, NULL, ',', TEXT_ABBREVIATE | TEXT_NUMERIC_IDS);
	ck_assert_ptr_nonnull(text);
	copy = mock_asprintf("%s", text);
	acl_free(text);
	acl_free(acl);
	return copy;
}

static mode_t mode_of(const char *node)
{
	struct stat st;

	ck_assert_int_eq(fstatat(host->dev, node, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

#define assert_acl(node, expected)                         \
	do {                                               \
		_cleanup_free_ char *_acl = get_acl(node); \
		ck_assert_str_eq(_acl, expected);          \
	} while (0)

static const struct {
	const char *acl;
	const char *why; /* NULL: nobody but root, and 1000 who is allowed */
} acls[] = {
	{ "u::rw-,g::---,o::---", NULL },
	{ "u::---,g::---,o::---", NULL },
	{ "u::rw-,g::r--,o::---", "group root may read" },
	{ "u::rw-,g::rw-,o::---", "group root may read and write" },
	{ "u::rw-,g::-w-,o::---", "group root may write" },
	{ "u::rw-,g::--x,o::---", "group root may execute" },
	{ "u::rw-,g::---,o::r--", "everybody may read" },
	{ "u::rw-,g::---,o::rw-", "everybody may read and write" },
	{ "u::rw-,u:1000:rw-,g::---,m::rw-,o::---", NULL },
	{ "u::rw-,u:0:rw-,g::---,m::rw-,o::---", NULL },
	{ "u::rw-,u:54321:rw-,g::---,m::rw-,o::---", "user 54321 may read and write" },
	{ "u::rw-,u:1000:rw-,u:54321:r--,g::---,m::rw-,o::---", "user 54321 may read" },
	{ "u::rw-,g::---,g:54321:rw-,m::rw-,o::---", "group 54321 may read and write" },
	{ "u::rw-,g::---,g:0:rw-,m::rw-,o::---", "group root may read and write" },
	/* What a mask shuts off now it can open later: chmod(1) is enough. */
	{ "u::rw-,u:54321:rw-,g::---,m::---,o::---", "user 54321 may read and write" },
	{ "u::rw-,u:1000:rw-,g::rw-,m::---,o::---", "group root may read and write" },
	{ "u::rw-,g::---,g:54321:r--,m::-w-,o::---", "group 54321 may read" },
	/* A mask alone, and entries of nothing, let nobody in. */
	{ "u::rw-,g::---,m::rw-,o::---", NULL },
	{ "u::rw-,u:54321:---,g::---,g:54321:---,m::rw-,o::---", NULL },
};

START_TEST(test_check)
{
	const uid_t allowed[] = { 1000 };
	_cleanup_free_ char *why = NULL;
	int r;

	set_acl("vfio/9", acls[_i].acl);
	r = node_check(host, "vfio/9", allowed, 1, &why);
	ck_assert_msg(r == (acls[_i].why ? NODE_FOREIGN : 0), "%s: %d", acls[_i].acl, r);
	ck_assert_msg(streq0(why, acls[_i].why), "%s: %s", acls[_i].acl, why ? why : "-");
	ck_assert_int_eq(node_check(host, "vfio/9", allowed, 1, NULL), r);

	/* A reset ends it, whatever it was. */
	ck_assert_int_eq(node_reset(host, "vfio/9"), 0);
	assert_acl("vfio/9", "u::rw-,g::---,o::---");
	ck_assert_uint_eq(mode_of("vfio/9"), 0600);
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, NULL), 0);
}
END_TEST

/* Another owner could open it again: giving it back would take a capability, so it stays refused.
 */
START_TEST(test_check_owner)
{
	_cleanup_free_ char *why = NULL;

	ck_assert_int_eq(fchownat(host->dev, "vfio/9", 54321, 54321, 0), 0);
	ck_assert_int_eq(node_check(host, "vfio/9", &(uid_t){ 54321 }, 1, &why), NODE_FOREIGN);
	ck_assert_str_eq(why, "user 54321 owns it");
	ck_assert_int_eq(node_reset(host, "vfio/9"), -EPERM);
}
END_TEST

/* Another group has what the mode gives it, and after a reset nothing. */
START_TEST(test_check_group)
{
	_cleanup_free_ char *why = NULL;

	ck_assert_int_eq(fchownat(host->dev, "vfio/9", 0, 54321, 0), 0);
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, NULL), 0);
	ck_assert_int_eq(fchmodat(host->dev, "vfio/9", 0660, 0), 0);
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, &why), NODE_FOREIGN);
	ck_assert_ptr_nonnull(strstr(why, "group 54321"));
	ck_assert_int_eq(node_reset(host, "vfio/9"), 0);
	ck_assert_uint_eq(mode_of("vfio/9"), 0600);
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, NULL), 0);
}
END_TEST

START_TEST(test_check_names_from_files)
{
	_cleanup_free_ char *why = NULL;

	set_acl("vfio/9", "u::rw-,u:1:rw-,g::---,m::rw-,o::---");
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, &why), NODE_FOREIGN);
	ck_assert_str_eq(why, "user daemon may read and write");
}
END_TEST

START_TEST(test_check_iommu)
{
	/* The kernel's own mode for it. */
	ck_assert_int_eq(fchmodat(host->dev, "iommu", 0660, 0), 0);
	ck_assert_int_eq(node_check(host, "iommu", NULL, 0, NULL), 0);
	ck_assert_int_eq(fchmodat(host->dev, "iommu", 0666, 0), 0);
	ck_assert_int_eq(node_check(host, "iommu", NULL, 0, NULL), NODE_FOREIGN);
	ck_assert_int_eq(fchmodat(host->dev, "iommu", 0660, 0), 0);
	ck_assert_int_eq(fchownat(host->dev, "iommu", 0, 54321, 0), 0);
	ck_assert_int_eq(node_check(host, "iommu", NULL, 0, NULL), NODE_FOREIGN);
}
END_TEST

START_TEST(test_check_missing)
{
	ck_assert_int_eq(node_check(host, "vfio/77", NULL, 0, NULL), -ENOENT);
	ck_assert_int_eq(node_reset(host, "vfio/77"), -ENOENT);
	ck_assert_int_eq(node_grant(host, "vfio/77", 1000), -ENOENT);
	ck_assert_int_eq(node_revoke(host, "vfio/77", 1000), -ENOENT);
	fake_dev_node(&fake, "vfio/9", NULL_MINOR);
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, NULL), -ENODEV);
	ck_assert_int_eq(node_grant(host, "vfio/9", 1000), -ENODEV);
	assert_acl("vfio/9", "u::rw-,g::---,o::---");
}
END_TEST

/* ---- the owner's entry */

START_TEST(test_grant)
{
	const uid_t allowed = 1000;

	ck_assert_int_eq(node_grant(host, "vfio/9", 1000), 0);
	assert_acl("vfio/9", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	/* Where stat(2) shows the mask, not the group. */
	ck_assert_uint_eq(mode_of("vfio/9"), 0660);
	ck_assert_int_eq(node_check(host, "vfio/9", &allowed, 1, NULL), 0);
	ck_assert_int_eq(node_check(host, "vfio/9", NULL, 0, NULL), NODE_FOREIGN);
	ck_assert_int_eq(node_grant(host, "vfio/9", 1000), 0);
	assert_acl("vfio/9", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	ck_assert_int_eq(node_revoke(host, "vfio/9", 1000), 0);
	assert_acl("vfio/9", "u::rw-,g::---,o::---");
	ck_assert_uint_eq(mode_of("vfio/9"), 0600);
	ck_assert_int_eq(node_revoke(host, "vfio/9", 1000), 0);
	assert_acl("vfio/9", "u::rw-,g::---,o::---");
}
END_TEST

START_TEST(test_grant_several)
{
	ck_assert_int_eq(fchmodat(host->dev, "iommu", 0660, 0), 0);
	ck_assert_int_eq(node_grant(host, "iommu", 1000), 0);
	ck_assert_int_eq(node_grant(host, "iommu", 1001), 0);
	assert_acl("iommu", "u::rw-,u:1000:rw-,u:1001:rw-,g::rw-,m::rw-,o::---");
	ck_assert_int_eq(node_revoke(host, "iommu", 1000), 0);
	assert_acl("iommu", "u::rw-,u:1001:rw-,g::rw-,m::rw-,o::---");
	ck_assert_int_eq(node_revoke(host, "iommu", 1001), 0);
	/* The mode that it had comes back. */
	assert_acl("iommu", "u::rw-,g::rw-,o::---");
	ck_assert_uint_eq(mode_of("iommu"), 0660);
}
END_TEST

static const struct {
	const char *before, *granted, *revoked;
} masks[] = {
	/* An entry that is there already, with less. */
	{ "u::rw-,u:1000:r--,g::---,m::r--,o::---", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---",
	  "u::rw-,g::---,o::---" },
	/* All of it, but under a mask. */
	{ "u::rw-,u:1000:rw-,g::---,m::---,o::---", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---",
	  "u::rw-,g::---,o::---" },
	{ "u::rw-,u:1000:rw-,g::---,m::r--,o::---", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---",
	  "u::rw-,g::---,o::---" },
	/* Somebody else whom only the mask keeps out is not let in by the owner's new mask. */
	{ "u::rw-,u:54321:rw-,g::---,m::---,o::---",
	  "u::rw-,u:1000:rw-,u:54321:---,g::---,m::rw-,o::---",
	  "u::rw-,u:54321:---,g::---,m::---,o::---" },
	{ "u::rw-,g::rw-,g:54321:rw-,m::r--,o::---",
	  "u::rw-,u:1000:rw-,g::r--,g:54321:r--,m::rw-,o::---",
	  "u::rw-,g::r--,g:54321:r--,m::r--,o::---" },
	/* A mask without a named entry is what the group has: dropping it changes nothing. */
	{ "u::rw-,g::rw-,m::---,o::---", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---",
	  "u::rw-,g::---,o::---" },
};

START_TEST(test_masks)
{
	set_acl("vfio/9", masks[_i].before);
	ck_assert_int_eq(node_grant(host, "vfio/9", 1000), 0);
	assert_acl("vfio/9", masks[_i].granted);
	ck_assert_int_eq(node_revoke(host, "vfio/9", 1000), 0);
	assert_acl("vfio/9", masks[_i].revoked);
	/* And a revoke at once. */
	set_acl("vfio/9", masks[_i].before);
	ck_assert_int_eq(node_revoke(host, "vfio/9", 1000), 0);
	ck_assert_int_eq(node_grant(host, "vfio/9", 1000), 0);
	ck_assert_int_eq(node_revoke(host, "vfio/9", 1000), 0);
	assert_acl("vfio/9", masks[_i].revoked);
}
END_TEST

/* ---- stripping */

static bool keep_1000_on_9(const char *node, uid_t uid, void *userdata)
{
	return streq(node, "vfio/9") && uid == 1000;
}

START_TEST(test_strip)
{
	fake_dev_group(&fake, 10, NULL_MINOR);
	set_acl("vfio/9", "u::rw-,u:1000:rw-,u:1001:rw-,g::---,g:5:rw-,m::rw-,o::---");
	set_acl("vfio/10", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	set_acl("vfio/devices/vfio3", "u::rw-,u:1000:r--,g::---,m::r--,o::---");
	set_acl("iommu", "u::rw-,u:1000:rw-,g::rw-,m::---,o::---");
	set_acl("vfio/vfio", "u::rw-,u:1000:rw-,g::rw-,m::rw-,o::rw-");
	/* What sysfs does not know is not ours to touch, and a link leads nowhere. */
	fake_dev_node(&fake, "vfio/extra", NULL_MINOR);
	set_acl("vfio/extra", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	fake_dev_node(&fake, "outside", ZERO_MINOR);
	set_acl("outside", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	fake_dev_sysfs(&fake, "class/vfio/11", ZERO_MINOR);
	put_link("../outside", "vfio/11");
	/* Goes on after an error. */
	ck_assert_int_eq(node_strip_all(host, keep_1000_on_9, NULL), -ELOOP);
	assert_acl("vfio/9", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	assert_acl("vfio/10", "u::rw-,g::---,o::---");
	assert_acl("vfio/devices/vfio3", "u::rw-,g::---,o::---");
	assert_acl("iommu", "u::rw-,g::---,o::---");
	assert_acl("vfio/vfio", "u::rw-,u:1000:rw-,g::rw-,m::rw-,o::rw-");
	assert_acl("vfio/extra", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	assert_acl("outside", "u::rw-,u:1000:rw-,g::---,m::rw-,o::---");
	unlinkat(host->dev, "vfio/11", 0);
	ck_assert_int_eq(node_strip_all(host, NULL, NULL), 0);
	assert_acl("vfio/9", "u::rw-,g::---,o::---");
}
END_TEST

/* ---- features */

START_TEST(test_features)
{
	struct host_features f;

	features_read(host, &f);
	ck_assert(f.group && f.iommufd && !f.cdev);
	tree_write(fake.root,
		   "Character devices:\n  1 mem\n 10 misc\n240 vfio\n511 vfio-dev\n\n"
		   "Block devices:\n  8 sd\n",
		   "proc/devices");
	features_read(host, &f);
	ck_assert(f.cdev);
	tree_write(fake.root,
		   "Character devices:\n511 vfio-device\n\nBlock devices:\n  8 vfio-dev\n",
		   "proc/devices");
	features_read(host, &f);
	ck_assert(!f.cdev);
	tree_remove(fake.root, "sys/class/misc/iommu");
	tree_remove(fake.root, "sys/class/vfio");
	features_read(host, &f);
	ck_assert(!f.group && !f.iommufd);
}
END_TEST

static TCase *make_case(const char *name, void (*fixture)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, fixture, teardown);
	tcase_add_test(tc, test_open);
	tcase_add_test(tc, test_open_missing);
	tcase_add_test(tc, test_open_wrong_device);
	tcase_add_test(tc, test_open_garbled_sysfs);
	tcase_add_test(tc, test_open_links);
	tcase_add_test(tc, test_open_names);
	tcase_add_test(tc, test_noiommu);
	tcase_add_loop_test(tc, test_check, 0, ARRAY_SIZE(acls));
	tcase_add_test(tc, test_check_owner);
	tcase_add_test(tc, test_check_group);
	tcase_add_test(tc, test_check_names_from_files);
	tcase_add_test(tc, test_check_iommu);
	tcase_add_test(tc, test_check_missing);
	tcase_add_test(tc, test_grant);
	tcase_add_test(tc, test_grant_several);
	tcase_add_loop_test(tc, test_masks, 0, ARRAY_SIZE(masks));
	tcase_add_test(tc, test_strip);
	tcase_add_test(tc, test_features);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("node");
	SRunner *runner;
	int failed;

	if (!fake_dev_possible()) {
		fprintf(stderr, "node: making device nodes needs root: not run\n");
		return 77;
	}
	suite_add_tcase(suite, make_case("nodes", setup));
	suite_add_tcase(suite, make_case("without openat2", setup_filtered));
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
