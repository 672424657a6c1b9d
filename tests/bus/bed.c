/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of bed.h: directories, and the test program. Processes are in bed-process.c.
 */

#include "tests/bus/bed.h"

#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct bed bed = { .bus = -1, .daemon = -1, .notify = -EBADF };

/* Of the whole program: beds are directories in it. What a failed test leaves is here. */
static char *base;

uid_t bed_uid(size_t i)
{
	static uid_t uids[BED_USERS];
	size_t n = 0;

	if (geteuid() != 0)
		return geteuid();
	if (uids[0])
		return uids[i];
	for (struct passwd *user; n < ARRAY_SIZE(uids) && (user = getpwent());)
		if (user->pw_uid != 0)
			uids[n++] = user->pw_uid;
	endpwent();
	if (n < ARRAY_SIZE(uids))
		errx(1, "there are no %d users in passwd", BED_USERS);
	return uids[i];
}

/* ---- time */

uint64_t bed_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t bed_timeout(void)
{
	const char *seconds = getenv("VFIOD_TEST_SECONDS");

	return (seconds ? strtoull(seconds, NULL, 10) : 60) * 1000000;
}

void bed_turn(void)
{
	ck_assert_int_ge(sd_event_run(bed.event, 3000), 0);
}

void bed_sleep(uint64_t usec)
{
	uint64_t end = bed_now() + usec;

	while (bed_now() < end)
		bed_turn();
}

/* ---- the host */

void bed_policy(const char *name, const char *text)
{
	if (text)
		tree_write(bed.host->fd, text, "policy.d/%s", name);
	else
		tree_remove(bed.host->fd, "policy.d/%s", name);
}

void bed_make(void)
{
	_cleanup_free_ char *root = NULL, *policy = NULL;

	bed.dir = mock_asprintf("%s/XXXXXX", base);
	ck_assert_ptr_nonnull(mkdtemp(bed.dir));
	/* Other users' clients go through it to the bus' socket. */
	ck_assert_int_eq(chmod(bed.dir, 0711), 0);
	root = mock_asprintf("%s/host", bed.dir);
	bed.host = mock_host_at(root);
	usual_host(bed.host);
	policy = usual_policy();
	bed_policy("50-test.json", policy);
	ck_assert_int_ge(sd_event_new(&bed.event), 0);
}

void bed_start(void)
{
	bed_make();
	bus_start();
	daemon_start();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static void remove_tree(const char *path)
{
	/* A stuck worker may still make a file: once more. */
	for (int i = 0; i < 10 && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0; i++)
		usleep(20000);
}

void bed_stop(void)
{
	if (bed.daemon > 0)
		ck_assert_msg(daemon_stop() == 0, "the daemon did not end well");
	bus_kill();
	for (size_t i = 0; i < bed.n_stored; i++) {
		fd_close(bed.stored[i].fd);
		free(bed.stored[i].name);
	}
	free(bed.stored);
	sd_event_unref(bed.event);
	fd_close(bed.notify);
	mock_host_free(bed.host);
	remove_tree(bed.dir);
	free(bed.dir);
	free(bed.address);
	free(bed.status);
	bed = (struct bed){ .bus = -1, .daemon = -1, .notify = -EBADF };
}

/* ---- the host, seen from outside */

bool host_did(const char *line)
{
	_cleanup_free_ char *log = tree_read(bed.host->fd, "log");

	for (const char *l = log; l && *l; l = strchrnul(l, '\n'), l += *l == '\n')
		if (strncmp(l, line, strlen(line)) == 0)
			return true;
	return false;
}

static char *device_path(const char *device)
{
	char *path = mk_device_path(bed.host->fd, "pci", device);

	return path ?: mk_device_path(bed.host->fd, "platform", device);
}

char *host_driver(const char *device)
{
	_cleanup_free_ char *path = device_path(device);
	char *driver = path ? tree_link_name(bed.host->fd, "%s/driver", path) : NULL;

	return driver ?: mock_asprintf("%s", "");
}

char *host_override(const char *device)
{
	_cleanup_free_ char *path = device_path(device);
	char *value = path ? tree_read(bed.host->fd, "%s/driver_override", path) : NULL;

	if (value && streq(value, "(null)"))
		*value = 0;
	return value ?: mock_asprintf("%s", "");
}

char **host_journals(void)
{
	char **names = tree_list(bed.host->fd, "run/leases"), **to = names;

	for (char **from = names; *from; from++) {
		size_t n = strlen(*from);

		/* Locks stay. */
		if (n > 5 && streq(*from + n - 5, ".lock"))
			free(*from);
		else
			*to++ = *from;
	}
	*to = NULL;
	return names;
}

static void list(FILE *f, const char *what, const char *path)
{
	_cleanup_strv_ char **names = tree_list(bed.host->fd, "%s", path);

	fprintf(f, "%s:", what);
	STRV_FOREACH (name, names)
		fprintf(f, " %s", *name);
	fputc('\n', f);
}

static void print_file(FILE *f, const char *path)
{
	_cleanup_free_ char *text = tree_read(bed.host->fd, "%s", path);

	fprintf(f, "%s: %s\n", path, text ?: "-");
}

static int bus_master(const char *device)
{
	_cleanup_free_ char *path = device_path(device), *config = NULL;
	_cleanup_close_ int fd = -EBADF;
	unsigned char command;

	config = mock_asprintf("%s/config", path);
	fd = openat(bed.host->fd, config, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && pread(fd, &command, 1, 4) == 1 ? !!(command & 4) : -1;
}

char *host_picture(void)
{
	static const char *const buses[] = { "pci", "platform" };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	_cleanup_strv_ char **journals = host_journals(), **nodes = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(buses); i++) {
		_cleanup_strv_ char **devices =
			tree_list(bed.host->fd, "sys/bus/%s/devices", buses[i]);

		STRV_FOREACH (device, devices) {
			_cleanup_free_ char *driver = host_driver(*device);
			_cleanup_free_ char *override = host_override(*device);

			fprintf(f, "%s: %s, override %s, bus master %d\n", *device, driver,
				override, bus_master(*device));
		}
	}
	print_file(f, "sys/bus/pci/drivers_autoprobe");
	print_file(f, "sys/bus/pci/devices/" PF "/sriov_drivers_autoprobe");
	list(f, "net", "sys/class/net");
	list(f, "block", "sys/class/block");
	list(f, "vfio groups", "sys/class/vfio");
	nodes = tree_list(bed.host->fd, "acl");
	STRV_FOREACH (node, nodes) {
		_cleanup_free_ char *path = mock_asprintf("acl/%s", *node);
		_cleanup_strv_ char **entries = tree_list(bed.host->fd, "%s", path);

		if (*entries)
			list(f, *node, path);
	}
	fprintf(f, "journals:");
	STRV_FOREACH (journal, journals)
		fprintf(f, " %s", *journal);
	fputc('\n', f);
	fclose(f);
	return text;
}

static void first_difference(const char *a, const char *b, char line[static 512])
{
	for (; *a; a += strcspn(a, "\n"), a += *a == '\n') {
		_cleanup_free_ char *one = strndup(a, strcspn(a, "\n") + 1);

		if (strstr(b, one))
			continue;
		snprintf(line, 512, "%s", one);
		return;
	}
	*line = 0;
}

/* check has room for messages of some kilobytes. */
void ck_same(const char *before, const char *now)
{
	char was[512], is[512];

	if (streq(before, now))
		return;
	first_difference(before, now, was);
	first_difference(now, before, is);
	ck_abort_msg("it was %s, it is %s", was, is);
}

bool daemon_said(const char *text)
{
	_cleanup_free_ char *path = mock_asprintf("%s/log", bed.dir), *log = NULL;

	return file_read_at(AT_FDCWD, path, 1 << 26, &log, NULL) == 0 && strstr(log, text);
}

/* ---- the program */

static int show_log(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char line[1024];
	FILE *f;

	if (type != FTW_F || ftw->level != 2 || !streq(path + ftw->base, "log"))
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;
	fprintf(stderr, "---- what the daemon of a failed test said (%s)\n", path);
	while (fgets(line, sizeof(line), f))
		fputs(line, stderr);
	fclose(f);
	return 0;
}

static char *make_base(void)
{
	/* In memory: the journal's fsync() is not what is tested here. */
	const char *tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR") ?: "/tmp";
	char *dir = mock_asprintf("%s/vfiod-bus.XXXXXX", tmp);

	if (!mkdtemp(dir) || chmod(dir, 0711) < 0)
		err(1, "%s", dir);
	return dir;
}

void bed_add(Suite *suite, const char *name, const TTest *test, void (*set_up)(void),
	     void (*tear_down)(void), int n)
{
	TCase *tcase = tcase_create(name);

	if (set_up)
		tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 240);
	tcase_add_loop_test(tcase, test, 0, n);
	suite_add_tcase(suite, tcase);
}

int bed_main(Suite *suite, bool needs_root)
{
	SRunner *runner;
	int failed;

	if (needs_root && geteuid() != 0) {
		puts("SKIPPED, all of it: it needs root, to be several users");
		return 77;
	}
	if (access("/usr/bin/dbus-daemon", X_OK) < 0) {
		puts("SKIPPED, all of it: there is no dbus-daemon");
		return 77;
	}
	/* What another user's connection has is that user's alone. */
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || !bed_uid(0)))
		err(1, "setgroups");
	base = make_base();
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	/* None at all is no success. */
	failed = srunner_ntests_failed(runner) + (srunner_ntests_run(runner) == 0);
	srunner_free(runner);
	if (failed)
		nftw(base, show_log, 16, FTW_PHYS);
	if (!getenv("VFIOD_TEST_KEEP"))
		remove_tree(base);
	else
		printf("left: %s\n", base);
	free(base);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
