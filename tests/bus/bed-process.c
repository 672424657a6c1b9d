/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The processes of a bed: bus, daemon, idle ones; and the service manager's side of sd_notify(). */

#include "tests/bus/bed.h"

#include "daemon/util/fd.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* As Debian's system.conf, but for who may own a name where the tests do not run as root. */
static const char bus_config[] =
	"<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
	" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
	"<busconfig><type>system</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>\n"
	"<policy context=\"default\"><allow user=\"*\"/><deny own=\"*\"/>\n"
	"<deny send_type=\"method_call\"/><allow send_type=\"signal\"/>\n"
	"<allow send_requested_reply=\"true\" send_type=\"method_return\"/>\n"
	"<allow send_requested_reply=\"true\" send_type=\"error\"/>\n"
	"<allow receive_type=\"method_call\"/><allow receive_type=\"method_return\"/>\n"
	"<allow receive_type=\"error\"/><allow receive_type=\"signal\"/>\n"
	"<allow send_destination=\"org.freedesktop.DBus\"/>\n"
	"<allow send_destination=\"org.freedesktop.PolicyKit1\"/></policy>\n"
	"<policy user=\"root\"><allow own=\"org.freedesktop.PolicyKit1\"/>\n"
	"<allow own=\"org.freedesktop.systemd1\"/>\n"
	"<allow send_destination=\"org.freedesktop.systemd1\"/></policy>\n"
	"%s<include>%s/dbus/org.vfiod1.conf</include></busconfig>\n";

/* In the child, before exec: it goes when the test goes. */
static void die_with(pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static void log_to(const char *name)
{
	_cleanup_free_ char *path = mock_asprintf("%s/%s", bed.dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		err(1, "%s", path);
	close(fd);
}

/* ---- the bus */

static char *write_config(void)
{
	const char *src = getenv("top_srcdir") ?: ".";
	char *path = mock_asprintf("%s/bus.conf", bed.dir);
	FILE *f = fopen(path, "we");

	ck_assert_ptr_nonnull(f);
	fprintf(f, bus_config, bed.dir,
		geteuid() == 0 ? "" : "<policy context=\"default\"><allow own=\"*\"/></policy>\n",
		src);
	fclose(f);
	return path;
}

void bus_start(void)
{
	_cleanup_free_ char *config = write_config();
	pid_t parent = getpid();
	int pipefd[2];
	char byte;

	ck_assert_int_eq(pipe(pipefd), 0);
	bed.bus = fork();
	ck_assert_int_ge(bed.bus, 0);
	if (bed.bus == 0) {
		_cleanup_free_ char *file = mock_asprintf("--config-file=%s", config);
		_cleanup_free_ char *print = mock_asprintf("--print-address=%d", pipefd[1]);

		die_with(parent);
		close(pipefd[0]);
		log_to("bus.log");
		execl("/usr/bin/dbus-daemon", "dbus-daemon", file, print, "--nofork", "--nopidfile",
		      "--nosyslog", NULL);
		_exit(127);
	}
	close(pipefd[1]);
	ck_assert_msg(read(pipefd[0], &byte, 1) == 1, "dbus-daemon did not start");
	close(pipefd[0]);
	free(bed.address);
	bed.address = mock_asprintf("unix:path=%s/bus", bed.dir);
}

void bus_kill(void)
{
	if (bed.bus > 0)
		process_kill(bed.bus);
	bed.bus = -1;
}

/* ---- the service manager */

/* Takes fd. */
static void store(const char *name, int fd)
{
	ck_assert_int_eq(ARRAY_RESERVE_ONE(bed.stored, bed.n_stored), 0);
	bed.stored[bed.n_stored++] = (struct stored_fd){ .name = strdup(name), .fd = fd };
}

static void unstore(const char *name)
{
	for (size_t i = 0; i < bed.n_stored;) {
		if (!streq(bed.stored[i].name, name)) {
			i++;
			continue;
		}
		free(bed.stored[i].name);
		fd_close(bed.stored[i].fd);
		bed.stored[i] = bed.stored[--bed.n_stored];
	}
}

static void take_notice(char *text, int fd)
{
	bool keep = false, drop = false;
	const char *name = "stored";
	char *state = NULL;

	for (char *l = strtok_r(text, "\n", &state); l; l = strtok_r(NULL, "\n", &state)) {
		if (streq(l, "READY=1"))
			bed.ready = true;
		else if (streq(l, "FDSTORE=1"))
			keep = true;
		else if (streq(l, "FDSTOREREMOVE=1"))
			drop = true;
		else if (strncmp(l, "FDNAME=", 7) == 0)
			name = l + 7;
		else if (strncmp(l, "STATUS=", 7) == 0)
			free_and_strdup(&bed.status, l + 7);
	}
	if (drop)
		unstore(name);
	if (keep && fd >= 0)
		store(name, fd);
	else
		fd_close(fd);
}

static int on_notice(sd_event_source *source, int sock, uint32_t revents, void *userdata)
{
	char text[4096], control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd = -EBADF;
	ssize_t k = recvmsg(sock, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (k < 0)
		return 0;
	text[k] = 0;
	c = CMSG_FIRSTHDR(&message);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	take_notice(text, fd);
	return 0;
}

static void listen_to_notices(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (bed.notify >= 0)
		return;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", bed.dir);
	bed.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(bed.notify, 0);
	ck_assert_int_eq(bind(bed.notify, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_ge(sd_event_add_io(bed.event, NULL, bed.notify, EPOLLIN, on_notice, NULL), 0);
}

/* ---- the daemon */

/* In the child: what was stored is 3 and up, as sd_listen_fds(3) says. */
static void give_stored(void)
{
	char names[4096] = "", number[32];
	int copies[256];

	if (bed.n_stored == 0)
		return;
	for (size_t i = 0; i < bed.n_stored; i++)
		copies[i] = fcntl(bed.stored[i].fd, F_DUPFD, 300);
	for (size_t i = 0; i < bed.n_stored; i++) {
		dup2(copies[i], 3 + (int)i);
		strncat(names, i ? ":" : "", sizeof(names) - strlen(names) - 1);
		strncat(names, bed.stored[i].name, sizeof(names) - strlen(names) - 1);
	}
	snprintf(number, sizeof(number), "%zu", bed.n_stored);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
}

static void exec_daemon(void)
{
	const char *build = getenv("top_builddir") ?: ".";
	_cleanup_free_ char *program = mock_asprintf("%s/tests/bus/vfiod-mock", build);
	_cleanup_free_ char *notify = mock_asprintf("%s/notify", bed.dir);

	log_to("log");
	give_stored();
	syscall(SYS_close_range, 3 + bed.n_stored, ~0U, 0);
	setenv("VFIOD_MOCK_ROOT", bed.host->root, 1);
	setenv("DBUS_SYSTEM_BUS_ADDRESS", bed.address, 1);
	setenv("NOTIFY_SOCKET", notify, 1);
	unsetenv("JOURNAL_STREAM");
	execl(program, "vfiod-mock", NULL);
	warn("%s", program);
	_exit(127);
}

void daemon_start_only(void)
{
	pid_t parent = getpid();

	listen_to_notices();
	bed.ready = false;
	bed.daemon = fork();
	ck_assert_int_ge(bed.daemon, 0);
	if (bed.daemon == 0) {
		die_with(parent);
		exec_daemon();
	}
}

void daemon_start(void)
{
	/* As the service manager does it (RestartSec=100ms): the bus may not have noticed yet that
	 * the one before is gone, and keeps its name. */
	for (int i = 0; i < 20; i++) {
		daemon_start_only();
		UNTIL(bed.ready || waitpid(bed.daemon, NULL, WNOHANG) != 0);
		if (bed.ready)
			return;
		bed.daemon = -1;
		ck_assert_msg(daemon_said("another process owns the name"),
			      "the daemon did not start");
		bed_sleep(100000);
	}
	ck_abort_msg("the daemon did not get its name");
}

int daemon_wait(void)
{
	uint64_t end = bed_now() + BED_TIMEOUT_USEC;
	int status = -1;
	pid_t pid;

	while ((pid = waitpid(bed.daemon, &status, WNOHANG)) == 0) {
		ck_assert_msg(bed_now() < end, "the daemon does not end");
		bed_turn();
	}
	ck_assert_int_eq(pid, bed.daemon);
	bed.daemon = -1;
	return status;
}

void daemon_kill(void)
{
	kill(bed.daemon, SIGKILL);
	waitpid(bed.daemon, NULL, 0);
	bed.daemon = -1;
	/* What it said before is read: it counts. */
	for (int i = 0; i < 3; i++)
		bed_turn();
}

int daemon_stop(void)
{
	kill(bed.daemon, SIGTERM);
	return daemon_wait();
}

/* ---- others */

void become(uid_t uid)
{
	if (geteuid() == 0 && uid != 0 &&
	    (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
	     setresuid(uid, uid, uid) < 0))
		err(1, "uid %u", uid);
}

pid_t idle_process(uid_t uid)
{
	pid_t parent = getpid(), pid;
	int done[2];
	char byte;

	ck_assert_int_eq(pipe(done), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid > 0) {
		close(done[1]);
		ck_assert_int_eq(read(done[0], &byte, 1), 1);
		close(done[0]);
		return pid;
	}
	become(uid);
	die_with(parent);
	ck_assert_int_eq(write(done[1], "", 1), 1);
	for (;;)
		pause();
}

int pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

void process_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

bool daemon_kill_child(const char *name)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool found = false;

	while (!found && (entry = readdir(proc))) {
		_cleanup_free_ char *path = NULL, *stat = NULL;
		char command[64];
		int pid, parent;

		if (atoi(entry->d_name) <= 0)
			continue;
		path = mock_asprintf("/proc/%s/stat", entry->d_name);
		if (file_read_at(AT_FDCWD, path, 4096, &stat, NULL) < 0 ||
		    sscanf(stat, "%d (%63[^)]) %*c %d", &pid, command, &parent) != 3)
			continue;
		if (parent == bed.daemon && streq(command, name))
			found = kill(pid, SIGKILL) == 0;
	}
	closedir(proc);
	return found;
}
