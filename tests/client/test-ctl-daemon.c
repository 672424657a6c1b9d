/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl against the whole daemon on the mocked host of tests/bus/: this program is the bed, the
 * scripts ctl-daemon.sh and ctl-change.sh the person at the keyboard. CTL_SCRIPT names another
 * script to run in its place, for trying things by hand.
 */

#include "tests/bus/bed.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start_script(const char *name)
{
	const char *src = getenv("top_srcdir"), *script = getenv("CTL_SCRIPT");
	_cleanup_free_ char *path = NULL;
	pid_t pid;

	ck_assert_int_ge(asprintf(&path, "%s/tests/client/%s", src ? src : ".", name), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	setenv("DBUS_SYSTEM_BUS_ADDRESS", bed.address, 1);
	setenv("BED", bed.dir, 1);
	execlp("bash", "bash", script ? script : path, (char *)NULL);
	perror("bash");
	_exit(127);
}

START_TEST(script)
{
	pid_t pid = start_script(_i ? "ctl-change.sh" : "ctl-daemon.sh");
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0)
		bed_sleep(20000);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the script ended with status %#x", (unsigned int)status);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl-daemon");
	TCase *tcase = tcase_create("ctl-daemon");

	tcase_add_checked_fixture(tcase, bed_start, bed_stop);
	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, script, 0, 2);
	suite_add_tcase(suite, tcase);
	return bed_main(suite, true);
}
