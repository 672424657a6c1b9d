/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What the daemon asks others over the bus: the bus for credentials, polkit, the service manager
 * for modules. On a dbus-daemon of the test's own; polkit and the service manager are played by
 * the test on a second connection, and a third one is the stranger who forges signals.
 */

#include "daemon/bus/creds.h"
#include "daemon/bus/modules.h"
#include "daemon/bus/polkit.h"
#include "daemon/lease/lifeline.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The dbus-daemon of this machine may give a ProcessFD or not: both are fine here. */
static int unit_result;
int process_unit(const struct host *host, int pidfd, char **unit)
{
	ck_assert_int_ge(pidfd, 0);
	if (unit_result < 0)
		return unit_result;
	*unit = strdup("test.service");
	return 0;
}

static const char config[] =
	"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\""
	" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">"
	"<busconfig><type>custom</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>"
	"<policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>"
	"<allow eavesdrop=\"true\"/><allow own=\"*\"/><allow user=\"*\"/></policy>"
	"</busconfig>";

static pid_t dbus_pid;
static sd_event *event;
static sd_bus *ours, *theirs, *stranger;

static void start_dbus(char *address, size_t size)
{
	char file[] = "/tmp/test-bus-queries.XXXXXX", option[64];
	int fd = mkostemp(file, O_CLOEXEC), pipefd[2];
	ssize_t k;

	ck_assert_int_eq(write(fd, config, strlen(config)), (ssize_t)strlen(config));
	close(fd);
	snprintf(option, sizeof(option), "--config-file=%s", file);
	ck_assert_int_eq(pipe2(pipefd, O_CLOEXEC), 0);
	dbus_pid = fork();
	if (dbus_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(pipefd[1], 3);
		execlp("dbus-daemon", "dbus-daemon", option, "--nofork", "--print-address=3", NULL);
		_exit(127);
	}
	close(pipefd[1]);
	k = read(pipefd[0], address, size - 1);
	ck_assert_msg(k > 1, "dbus-daemon does not start: install dbus-daemon");
	address[k - 1] = '\0';
	close(pipefd[0]);
	unlink(file);
}

static sd_bus *connect_to(const char *address)
{
	sd_bus *bus = NULL;

	ck_assert_int_ge(sd_bus_new(&bus), 0);
	ck_assert_int_ge(sd_bus_set_address(bus, address), 0);
	ck_assert_int_ge(sd_bus_set_bus_client(bus, 1), 0);
	ck_assert_int_ge(sd_bus_negotiate_fds(bus, 1), 0);
	ck_assert_int_ge(sd_bus_start(bus), 0);
	ck_assert_int_ge(sd_bus_attach_event(bus, event, 0), 0);
	return bus;
}

static void setup(void)
{
	char address[512];

	alarm(60);
	unit_result = 0;
	start_dbus(address, sizeof(address));
	ck_assert_int_ge(sd_event_new(&event), 0);
	ours = connect_to(address);
	theirs = connect_to(address);
	stranger = connect_to(address);
}

static void teardown(void)
{
	ours = sd_bus_flush_close_unref(ours);
	theirs = sd_bus_flush_close_unref(theirs);
	stranger = sd_bus_flush_close_unref(stranger);
	event = sd_event_unref(event);
	kill(dbus_pid, SIGTERM);
	waitpid(dbus_pid, NULL, 0);
}

static void turn(void)
{
	ck_assert_int_ge(sd_event_run(event, 100000), 0);
}

static void settle(void)
{
	for (int i = 0; i < 5; i++)
		ck_assert_int_ge(sd_event_run(event, 20000), 0);
}

/* ---------------------------------------------------------------------------- credentials */

static int creds_r;
static struct creds *creds_got;
static unsigned int creds_calls;

static void on_creds(struct creds_query *query, int r, struct creds *creds, void *userdata)
{
	ck_assert_ptr_eq(userdata, &creds_calls);
	creds_r = r;
	creds_got = creds;
	creds_calls++;
	creds_query_free(query);
}

static void ask_creds(const char *name)
{
	struct creds_query *query = NULL;

	creds_calls = 0;
	creds_got = NULL;
	ck_assert_int_eq(creds_query(ours, NULL, name, 5000000, on_creds, &creds_calls, &query), 0);
	ck_assert_uint_eq(creds_calls, 0);
	while (creds_calls == 0)
		turn();
}

START_TEST(test_creds)
{
	const char *name;

	sd_bus_get_unique_name(theirs, &name);
	ask_creds(name);
	ck_assert_int_eq(creds_r, 0);
	ck_assert_str_eq(creds_got->name, name);
	ck_assert_uint_eq(creds_got->uid, getuid());
	ck_assert_int_eq(creds_got->pid, getpid());
	ck_assert_uint_ge(creds_got->n_gids, 1);
	ck_assert_int_eq(creds_got->unit_known, creds_got->pidfd >= 0);
	ck_assert(streq0(creds_got->unit, creds_got->pidfd >= 0 ? "test.service" : NULL));
	creds_free(creds_got);
	/* The process is over, or cannot be read: not known, rather than in no unit. */
	unit_result = -ESRCH;
	ask_creds(name);
	ck_assert_int_eq(creds_r, 0);
	ck_assert(!creds_got->unit_known);
	ck_assert_ptr_null(creds_got->unit);
	creds_free(creds_got);
}
END_TEST

START_TEST(test_creds_gone)
{
	ask_creds(":1.4711");
	ck_assert_int_eq(creds_r, -ENXIO);
	ck_assert_ptr_null(creds_got);
}
END_TEST

START_TEST(test_creds_cancelled)
{
	struct creds_query *query = NULL;
	const char *name;

	sd_bus_get_unique_name(theirs, &name);
	creds_calls = 0;
	ck_assert_int_eq(creds_query(ours, NULL, name, 5000000, on_creds, &creds_calls, &query), 0);
	ck_assert_ptr_null(creds_query_free(query));
	ck_assert_ptr_null(creds_query_free(NULL));
	settle();
	ck_assert_uint_eq(creds_calls, 0);
}
END_TEST

/* --------------------------------------------------------------------------------- polkit */

static struct {
	sd_bus_message *call; /* the question, to be answered later */
	char subject[64], cancellation[64], cancelled[64], details[256];
	uint32_t flags;
	int authorized, challenge;
	bool answer, garbage;
} authority;

static int method_check(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *kind, *key, *name, *action, *cancellation, *a, *b;

	ck_assert_int_ge(sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &name, &action),
			 0);
	ck_assert_str_eq(kind, "system-bus-name");
	ck_assert_str_eq(key, "name");
	ck_assert_str_eq(action, "org.vfiod1.acquire");
	snprintf(authority.subject, sizeof(authority.subject), "%s", name);
	ck_assert_int_ge(sd_bus_message_enter_container(m, 'a', "{ss}"), 0);
	while (sd_bus_message_read(m, "{ss}", &a, &b) > 0) {
		size_t n = strlen(authority.details);

		snprintf(authority.details + n, sizeof(authority.details) - n, "%s=%s;", a, b);
	}
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	ck_assert_int_ge(sd_bus_message_read(m, "us", &authority.flags, &cancellation), 0);
	snprintf(authority.cancellation, sizeof(authority.cancellation), "%s", cancellation);
	if (authority.garbage)
		return sd_bus_reply_method_return(m, "s", "yes");
	if (authority.answer)
		return sd_bus_reply_method_return(m, "(bba{ss})", authority.authorized,
						  authority.challenge, 0);
	authority.call = sd_bus_message_ref(m);
	return 1;
}

static int method_cancel(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *id;

	ck_assert_int_ge(sd_bus_message_read(m, "s", &id), 0);
	snprintf(authority.cancelled, sizeof(authority.cancelled), "%s", id);
	return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable authority_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", method_check,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("CancelCheckAuthorization", "s", "", method_cancel,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void start_polkit(void)
{
	memset(&authority, 0, sizeof(authority));
	ck_assert_int_ge(sd_bus_add_object_vtable(
				 theirs, NULL, "/org/freedesktop/PolicyKit1/Authority",
				 "org.freedesktop.PolicyKit1.Authority", authority_vtable, NULL),
			 0);
	ck_assert_int_ge(sd_bus_request_name(theirs, "org.freedesktop.PolicyKit1", 0), 0);
}

static int polkit_r;
static enum polkit_outcome polkit_got;
static char polkit_reason[256];
static unsigned int polkit_calls;

static void on_polkit(struct polkit_query *query, int r, enum polkit_outcome outcome,
		      const char *reason, void *userdata)
{
	polkit_r = r;
	polkit_got = outcome;
	snprintf(polkit_reason, sizeof(polkit_reason), "%s", reason ? reason : "");
	polkit_calls++;
	polkit_query_free(query);
}

static const char *const details[] = { "devices", "0000:03:00.0", "rule", "r1", NULL };

static struct polkit_query *begin_polkit(bool interactive)
{
	struct polkit_query *query = NULL;

	polkit_calls = 0;
	ck_assert_int_eq(polkit_query(ours, ":1.77", "org.vfiod1.acquire", details, interactive,
				      on_polkit, NULL, &query),
			 0);
	ck_assert_uint_eq(polkit_calls, 0);
	return query;
}

static void ask_polkit(bool interactive)
{
	begin_polkit(interactive);
	while (polkit_calls == 0)
		turn();
}

static const struct {
	bool authorized, challenge, interactive;
	enum polkit_outcome outcome;
	const char *word;
} answers[] = {
	{ true, false, false, POLKIT_AUTHORIZED, "" },
	{ true, false, true, POLKIT_AUTHORIZED, "" },
	{ false, false, true, POLKIT_DENIED, "did not authorize" },
	{ false, true, false, POLKIT_CHALLENGE, "interactive" },
	{ false, true, true, POLKIT_CHALLENGE, "agent" },
	{ true, true, false, POLKIT_AUTHORIZED, "" },
};

START_TEST(test_polkit)
{
	start_polkit();
	authority.answer = true;
	authority.authorized = answers[_i].authorized;
	authority.challenge = answers[_i].challenge;
	ask_polkit(answers[_i].interactive);
	ck_assert_int_eq(polkit_r, 0);
	ck_assert_int_eq(polkit_got, answers[_i].outcome);
	ck_assert_ptr_nonnull(strstr(polkit_reason, answers[_i].word));
	ck_assert_int_eq(polkit_reason[0] == '\0', answers[_i].word[0] == '\0');
	ck_assert_str_eq(authority.subject, ":1.77");
	ck_assert_str_eq(authority.details, "devices=0000:03:00.0;rule=r1;");
	ck_assert_uint_eq(authority.flags, answers[_i].interactive ? 1 : 0);
	/* Answered: nothing to be cancelled. */
	settle();
	ck_assert_str_eq(authority.cancelled, "");
}
END_TEST

START_TEST(test_polkit_absent)
{
	ask_polkit(true);
	ck_assert_int_eq(polkit_r, 0);
	ck_assert_int_eq(polkit_got, POLKIT_ABSENT);
	ck_assert_str_eq(polkit_reason, "polkit is not there");
}
END_TEST

START_TEST(test_polkit_garbage)
{
	start_polkit();
	authority.garbage = true;
	ask_polkit(false);
	ck_assert_int_lt(polkit_r, 0);
	ck_assert_int_ne(polkit_got, POLKIT_AUTHORIZED);
	ck_assert_str_ne(polkit_reason, "");
}
END_TEST

/* polkit goes away while it asks. */
START_TEST(test_polkit_dies)
{
	start_polkit();
	begin_polkit(true);
	while (!authority.call)
		turn();
	sd_bus_message_unref(authority.call);
	theirs = sd_bus_flush_close_unref(theirs);
	while (polkit_calls == 0)
		turn();
	ck_assert(polkit_r < 0 || polkit_got != POLKIT_AUTHORIZED);
	ck_assert_int_ne(polkit_got, POLKIT_AUTHORIZED);
}
END_TEST

START_TEST(test_polkit_cancel)
{
	struct polkit_query *query;

	start_polkit();
	query = begin_polkit(true);
	while (!authority.call)
		turn();
	ck_assert_ptr_null(polkit_query_free(query));
	while (!authority.cancelled[0])
		turn();
	ck_assert_str_eq(authority.cancelled, authority.cancellation);
	/* An answer that comes anyway finds nobody. */
	sd_bus_reply_method_return(authority.call, "(bba{ss})", 1, 0, 0);
	sd_bus_message_unref(authority.call);
	settle();
	ck_assert_uint_eq(polkit_calls, 0);
	ck_assert_ptr_null(polkit_query_free(NULL));
}
END_TEST

/* -------------------------------------------------------------------------------- modules */

static struct {
	char *started[8];
	size_t n;
	const char *result; /* NULL: the job does not end */
	const char *fail;   /* unit for which StartUnit fails */
	bool early;	    /* JobRemoved before the reply */
	bool forge;	    /* the stranger says that it is done */
} manager;

static void job_removed(sd_bus *bus, uint32_t job, const char *unit, const char *result)
{
	_cleanup_free_ char *path = NULL;
	const char *name;
	sd_bus_message *m = NULL;

	ck_assert_int_gt(asprintf(&path, "/org/freedesktop/systemd1/job/%u", job), 0);
	sd_bus_get_unique_name(ours, &name);
	ck_assert_int_ge(sd_bus_message_new_signal(bus, &m, "/org/freedesktop/systemd1",
						   "org.freedesktop.systemd1.Manager",
						   "JobRemoved"),
			 0);
	if (bus == stranger)
		ck_assert_int_ge(sd_bus_message_set_destination(m, name), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "uoss", job, path, unit, result), 0);
	ck_assert_int_ge(sd_bus_send(bus, m, NULL), 0);
	sd_bus_message_unref(m);
}

static int method_start(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	_cleanup_free_ char *path = NULL;
	const char *unit, *mode;
	uint32_t job = 100 + (uint32_t)manager.n;
	int r;

	ck_assert_int_ge(sd_bus_message_read(m, "ss", &unit, &mode), 0);
	ck_assert_str_eq(mode, "replace");
	if (manager.fail && streq(manager.fail, unit))
		return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit",
					 "Unit %s not found.", unit);
	manager.started[manager.n++] = strdup(unit);
	ck_assert_int_gt(asprintf(&path, "/org/freedesktop/systemd1/job/%u", job), 0);
	if (manager.forge)
		job_removed(stranger, job, unit, "done");
	if (manager.early) {
		/* An older job of the same unit, and ours. */
		job_removed(theirs, job - 50, unit, "canceled");
		job_removed(theirs, job, unit, manager.result);
	}
	r = sd_bus_reply_method_return(m, "o", path);
	if (!manager.early && manager.result) {
		job_removed(theirs, job + 50, unit, "failed"); /* another one */
		job_removed(theirs, job, unit, manager.result);
	}
	return r;
}

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("StartUnit", "ss", "o", method_start, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void start_manager(void)
{
	memset(&manager, 0, sizeof(manager));
	ck_assert_int_ge(sd_bus_add_object_vtable(theirs, NULL, "/org/freedesktop/systemd1",
						  "org.freedesktop.systemd1.Manager",
						  manager_vtable, NULL),
			 0);
	ck_assert_int_ge(sd_bus_request_name(theirs, "org.freedesktop.systemd1", 0), 0);
}

static void stop_manager(void)
{
	for (size_t i = 0; i < manager.n; i++)
		free(manager.started[i]);
}

static int modules_r;
static char modules_message[512];
static unsigned int modules_calls;

static void on_modules(struct modules_load *load, int r, const char *message, void *userdata)
{
	modules_r = r;
	snprintf(modules_message, sizeof(modules_message), "%s", message ? message : "");
	modules_calls++;
	modules_load_free(load);
}

static struct modules_load *begin_modules(const char *a, const char *b, const char *c)
{
	char *names[] = { (char *)a, (char *)b, (char *)c, NULL };
	struct modules_load *load = NULL;

	modules_calls = 0;
	ck_assert_int_eq(modules_load(ours, names, on_modules, NULL, &load), 0);
	ck_assert_uint_eq(modules_calls, 0);
	return load;
}

static void load_modules(const char *a, const char *b, const char *c)
{
	begin_modules(a, b, c);
	while (modules_calls == 0)
		turn();
	settle();
	ck_assert_uint_eq(modules_calls, 1);
}

START_TEST(test_modules)
{
	start_manager();
	manager.result = "done";
	manager.early = _i == 1;
	load_modules("vfio-pci", "vfio_pci", "mlx5_vfio_pci");
	ck_assert_int_eq(modules_r, 0);
	ck_assert_str_eq(modules_message, "");
	ck_assert_uint_eq(manager.n, 2);
	ck_assert_str_eq(manager.started[0], "modprobe@vfio_pci.service");
	ck_assert_str_eq(manager.started[1], "modprobe@mlx5_vfio_pci.service");
	stop_manager();
}
END_TEST

START_TEST(test_modules_job_failed)
{
	start_manager();
	manager.result = "skipped";
	manager.early = _i == 1;
	load_modules("vfio-pci", NULL, NULL);
	ck_assert_int_eq(modules_r, MODULES_FAILED);
	ck_assert_ptr_nonnull(strstr(modules_message, "modprobe@vfio_pci.service"));
	ck_assert_ptr_nonnull(strstr(modules_message, "skipped"));
	stop_manager();
}
END_TEST

START_TEST(test_modules_no_unit)
{
	start_manager();
	manager.result = "done";
	manager.fail = "modprobe@iommufd.service";
	load_modules("vfio-pci", "iommufd", "zzz");
	ck_assert_int_eq(modules_r, MODULES_FAILED);
	ck_assert_ptr_nonnull(strstr(modules_message, "modprobe@iommufd.service"));
	ck_assert_ptr_nonnull(strstr(modules_message, "not found"));
	stop_manager();
}
END_TEST

START_TEST(test_modules_no_manager)
{
	load_modules("vfio-pci", NULL, NULL);
	ck_assert_int_eq(modules_r, MODULES_NO_MANAGER);
	ck_assert_ptr_nonnull(strstr(modules_message, "systemd is not on the bus"));
}
END_TEST

START_TEST(test_modules_none)
{
	load_modules(NULL, NULL, NULL);
	ck_assert_int_eq(modules_r, 0);
}
END_TEST

/* Whoever else says that the job is done is not believed. */
START_TEST(test_modules_forged)
{
	struct modules_load *load;

	start_manager();
	manager.forge = true;
	load = begin_modules("vfio-pci", NULL, NULL);
	while (manager.n == 0)
		turn();
	job_removed(stranger, 100, "modprobe@vfio_pci.service", "done");
	settle();
	ck_assert_uint_eq(modules_calls, 0);
	modules_load_free(load);
	settle();
	ck_assert_uint_eq(modules_calls, 0);
	stop_manager();
}
END_TEST

START_TEST(test_modules_names)
{
	static const char *const bad[] = { "",	  "a b", "a/b",	     "../x",   "a@b", "-r",
					   "a.b", "a\n", "\xc3\xa4", "--show", "$x" };
	char *many[MODULES_MAX + 2] = { NULL };
	struct modules_load *load = NULL;
	_cleanup_free_ char *unit = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *names[] = { (char *)"vfio-pci", (char *)bad[i], NULL };

		ck_assert_msg(modules_load(ours, names, on_modules, NULL, &load) == -EINVAL, "%s",
			      bad[i]);
		ck_assert_ptr_null(load);
	}
	for (size_t i = 0; i <= MODULES_MAX; i++)
		many[i] = (char *)"vfio-pci";
	ck_assert_int_eq(modules_load(ours, many, on_modules, NULL, &load), -E2BIG);
	ck_assert_int_eq(modules_unit("nvgrace-gpu-vfio-pci", &unit), 0);
	ck_assert_str_eq(unit, "modprobe@nvgrace_gpu_vfio_pci.service");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bus-queries");
	TCase *tcase = tcase_create("bus-queries");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_creds);
	tcase_add_test(tcase, test_creds_gone);
	tcase_add_test(tcase, test_creds_cancelled);
	tcase_add_loop_test(tcase, test_polkit, 0, ARRAY_SIZE(answers));
	tcase_add_test(tcase, test_polkit_absent);
	tcase_add_test(tcase, test_polkit_garbage);
	tcase_add_test(tcase, test_polkit_dies);
	tcase_add_test(tcase, test_polkit_cancel);
	tcase_add_loop_test(tcase, test_modules, 0, 2);
	tcase_add_loop_test(tcase, test_modules_job_failed, 0, 2);
	tcase_add_test(tcase, test_modules_no_unit);
	tcase_add_test(tcase, test_modules_no_manager);
	tcase_add_test(tcase, test_modules_none);
	tcase_add_test(tcase, test_modules_forged);
	tcase_add_test(tcase, test_modules_names);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
