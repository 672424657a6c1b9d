/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Capabilities: what is left after caps_drop(), read from /proc/self/status rather than by the
 * library that dropped them; and that the unit and vfiod(8) say what the table says.
 */

#include "daemon/caps.h"

#include <check.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t table_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < caps_table_n; i++)
		mask |= UINT64_C(1) << caps_table[i].cap;
	return mask;
}

/* Those that take effect only while they are used. */
static uint64_t latent_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < caps_table_n; i++)
		if (caps_table[i].latent)
			mask |= UINT64_C(1) << caps_table[i].cap;
	return mask;
}

/* A line of /proc/self/status: "CapEff:\t0000…". */
static uint64_t status(const char *key)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	size_t n = strlen(key);
	uint64_t value = UINT64_MAX;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, n) == 0 && line[n] == ':')
			value = strtoull(line + n + 1, NULL, 16);
	if (f)
		fclose(f);
	return value;
}

/* Runs in a child: a number for the check that failed, 0 for none. */
static int check_dropped(void)
{
	uint64_t had = status("CapPrm"), kept = had & table_mask();

	if (caps_drop(CAPS_DAEMON) != 0)
		return 1;
	if (status("CapEff") != (kept & ~latent_mask()) || status("CapPrm") != kept)
		return 2;
	if (status("CapInh") != 0 || status("CapAmb") != 0)
		return 3;
	if (status("CapBnd") & ~table_mask())
		return 4;
	if (status("NoNewPrivs") != 1)
		return 5;
	/* It is fine to be asked again with nothing left to drop, as in the unit's sandbox. */
	if (caps_drop(CAPS_DAEMON) != 0)
		return 6;
	return status("CapEff") != (kept & ~latent_mask()) ? 7 : 0;
}

/* What is left in the bounding set cannot be got back, nor can what was there be kept. */
static int check_unprivileged(void)
{
	if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
		return 1;
	return caps_drop(CAPS_DAEMON) == -EPERM ? 0 : 2;
}

/* Keeps those, of what there is, in the permitted and the effective set. */
static int only_these(uint64_t mask)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data) != 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(mask >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) != 0 ? -errno : 0;
}

/* Something that was inherited goes too. */
static int check_ambient(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &header, data) != 0)
		return 11;
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	if (syscall(SYS_capset, &header, data) != 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) != 0)
		return 12;
	return check_dropped();
}

static void run(int (*check)(void))
{
	int wait_status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(check());
	ck_assert_int_eq(waitpid(pid, &wait_status, 0), pid);
	ck_assert(WIFEXITED(wait_status));
	ck_assert_int_eq(WEXITSTATUS(wait_status), 0);
}

/* As the SystemCallFilter= of vfiod-unfence.service does. */
static int forbid_capset(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_capset, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0;
}

/* Of these alone, so that the names are known. */
static int bound_by(uint64_t mask)
{
	for (unsigned int cap = 0; cap < 64; cap++)
		if (!(mask & UINT64_C(1) << cap))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	return only_these(mask);
}

/* It does not start, and names that one alone. */
static int check_refused(const char *names, bool capset_allowed)
{
	char text[4096] = "";
	int ends[2];

	if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0)
		return 21;
	if (!capset_allowed && forbid_capset() != 0)
		return 22;
	if (caps_drop(CAPS_DAEMON) != -EPERM)
		return 23;
	if (read(ends[0], text, sizeof(text) - 1) <= 0)
		return 24;
	return strstr(text, names) && strstr(text, "CapabilityBoundingSet=") ? 0 : 25;
}

/*
 * A drop-in has widened CapabilityBoundingSet=, and the sandbox has no way to drop what came by it
 * (CAP_SETPCAP is not there): vfiod does not start with more than it keeps, and says which it is,
 * and where to look.
 */
static int check_widened(void)
{
	if (bound_by(table_mask() | UINT64_C(1) << CAP_SYS_RAWIO) != 0)
		return 26;
	return check_refused("(CAP_SYS_RAWIO)", true);
}

static int check_widened_filtered(void)
{
	if (bound_by(table_mask() | UINT64_C(1) << CAP_SYS_RAWIO) != 0)
		return 29;
	return check_refused("(CAP_SYS_RAWIO)", false);
}

/* A drop-in has AmbientCapabilities= of one that vfiod has, but leaves to no other. */
static int check_ambient_refused(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (bound_by(table_mask()) != 0 || syscall(SYS_capget, &header, data) != 0)
		return 27;
	data[0].inheritable = 1U << CAP_KILL;
	if (syscall(SYS_capset, &header, data) != 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) != 0)
		return 28;
	return check_refused("(CAP_KILL)", false);
}

/* The child that runs name services' modules: root's files are open to it still. */
static int check_forget(void)
{
	if (caps_drop(CAPS_DAEMON) != 0 || caps_forget() != 0)
		return 41;
	if (status("CapEff") || status("CapPrm") || status("CapInh") || status("CapAmb"))
		return 42;
	return caps_raise(CAP_SYS_ADMIN) == -EPERM && caps_raise(CAP_KILL) == -EPERM ? 0 : 43;
}

/*
 * The net keeps none, and has nothing to say of those that it does not miss: by hand, as
 * ExecStopPost= of the unit, and in a unit of its own, which leaves it none and no capset().
 */
static int check_none(uint64_t bound, bool capset_allowed)
{
	char text[4096] = "";
	int ends[2];

	if (pipe2(ends, O_NONBLOCK) != 0 || dup2(ends[1], STDERR_FILENO) < 0)
		return 31;
	if (bound != UINT64_MAX && bound_by(bound) != 0)
		return 32;
	if (!capset_allowed && forbid_capset() != 0)
		return 33;
	if (caps_drop(CAPS_NONE) != 0)
		return 34;
	if (status("CapEff") || status("CapPrm") || status("CapInh") || status("CapAmb"))
		return 35;
	if (status("CapBnd") & ~(bound & table_mask()))
		return 36;
	return read(ends[0], text, sizeof(text)) > 0 ? 37 : 0;
}

static int check_none_by_hand(void)
{
	return check_none(UINT64_MAX, true);
}

static int check_none_after_the_daemon(void)
{
	return check_none(table_mask(), true);
}

static int check_none_in_its_unit(void)
{
	return check_none(0, false);
}

static int check_not_root(void)
{
	return caps_drop(CAPS_DAEMON) == -EPERM ? 0 : 1;
}

START_TEST(test_drop)
{
	if (geteuid() != 0) {
		run(check_not_root);
		return;
	}
	run(check_dropped);
	run(check_unprivileged);
	run(check_ambient);
	run(check_widened);
	run(check_widened_filtered);
	run(check_ambient_refused);
	run(check_forget);
	run(check_none_by_hand);
	run(check_none_after_the_daemon);
	run(check_none_in_its_unit);
}
END_TEST

static char *read_source(const char *name)
{
	const char *top = getenv("top_srcdir");
	_cleanup_free_ char *path = NULL;
	char *text;
	FILE *f;

	ck_assert_int_gt(asprintf(&path, "%s/%s", top ? top : ".", name), 0);
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s: %m", path);
	text = calloc(1, 1 << 18);
	ck_assert_uint_gt(fread(text, 1, (1 << 18) - 1, f), 0);
	fclose(f);
	return text;
}

/* The unit leaves exactly the table's, in one line. */
START_TEST(test_unit)
{
	_cleanup_free_ char *unit = read_source("systemd/vfiod.service.in");
	char *line = strstr(unit, "\nCapabilityBoundingSet="), *word, *save;
	uint64_t mask = 0;

	ck_assert_ptr_nonnull(line);
	ck_assert_ptr_null(strstr(line + 1, "\nCapabilityBoundingSet="));
	line += strlen("\nCapabilityBoundingSet=");
	*strchr(line, '\n') = '\0';
	for (word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		bool found = false;

		for (size_t i = 0; i < caps_table_n; i++)
			if (streq(caps_table[i].name, word)) {
				mask |= UINT64_C(1) << caps_table[i].cap;
				found = true;
			}
		ck_assert_msg(found, "%s is in the unit and not in the table", word);
	}
	ck_assert_uint_eq(mask, table_mask());
}
END_TEST

START_TEST(test_unfence_unit)
{
	_cleanup_free_ char *unit = read_source("systemd/vfiod-unfence.service.in");

	ck_assert_ptr_nonnull(strstr(unit, "\nCapabilityBoundingSet=\n"));
}
END_TEST

/* The page names each, and no other that the daemon has. */
START_TEST(test_man)
{
	_cleanup_free_ char *page = read_source("man/vfiod.8");

	for (size_t i = 0; i < caps_table_n; i++)
		ck_assert_msg(strstr(page, caps_table[i].name) != NULL, "%s", caps_table[i].name);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("caps");
	TCase *tcase = tcase_create("caps");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, test_drop);
	tcase_add_test(tcase, test_unit);
	tcase_add_test(tcase, test_unfence_unit);
	tcase_add_test(tcase, test_man);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
