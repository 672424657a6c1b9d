/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of child.h. */

#include "daemon/util/child.h"

#include "daemon/util/fd.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct child {
	const struct child_ops *ops;
	void *userdata;
	pid_t pid;
	int pidfd;
	int sock;
	sd_event_source *sock_source;
	sd_event_source *exit_source;
};

static struct child *child_destroy(struct child *child)
{
	sd_event_source_disable_unref(child->sock_source);
	sd_event_source_disable_unref(child->exit_source);
	fd_close(child->sock);
	fd_close(child->pidfd);
	free(child);
	return NULL;
}

static int reap(struct child *child)
{
	siginfo_t si = { 0 };

	if (waitid(P_PIDFD, (id_t)child->pidfd, &si, WEXITED) < 0)
		return -ECHILD;
	return si.si_code == CLD_EXITED ? si.si_status : -si.si_status;
}

/* Delivers one message. 0: none is left; 1: one was delivered. */
static int receive_one(struct child *child)
{
	static char buffer[CHILD_MESSAGE_MAX];
	ssize_t k;

	if (child->sock < 0)
		return 0;
	do
		k = recv(child->sock, buffer, sizeof(buffer), MSG_DONTWAIT);
	while (k < 0 && errno == EINTR);
	if (k <= 0)
		return 0;
	if (child->ops && child->ops->message)
		child->ops->message(child, buffer, (size_t)k, child->userdata);
	return 1;
}

static int on_sock(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct child *child = userdata;

	/* One per turn, so that a talkative child does not starve the loop. */
	if (receive_one(child) == 0)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static int on_exit_event(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct child *child = userdata;
	int status;

	/* What it said before it ended comes first. The callback may free the child. */
	if (child->ops && receive_one(child) == 1)
		return 0;
	status = reap(child);
	if (!child->ops) {
		child_destroy(child);
		return 0;
	}
	sd_event_source_set_enabled(child->exit_source, SD_EVENT_OFF);
	sd_event_source_set_enabled(child->sock_source, SD_EVENT_OFF);
	child->pid = 0;
	child->ops->exited(child, status, child->userdata);
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes everything above 2 that is not in fds (n of them, sorted here). */
static void close_others(int *fds, size_t n)
{
	unsigned int from = 3;

	qsort(fds, n, sizeof(int), compare_fds);
	for (size_t i = 0; i < n; i++) {
		if (fds[i] < (int)from)
			continue;
		if (fds[i] > (int)from)
			syscall(SYS_close_range, from, (unsigned int)fds[i] - 1, 0);
		from = (unsigned int)fds[i] + 1;
	}
	syscall(SYS_close_range, from, ~0U, 0);
}

static _Noreturn void run_child(const struct child_ops *ops, int sock, const int *keep,
				size_t n_keep, void *userdata)
{
	int fds[CHILD_KEEP_MAX + 1];

	reset_signals();
	prctl(PR_SET_NAME, ops->name);
	if (n_keep)
		memcpy(fds, keep, n_keep * sizeof(int));
	fds[n_keep] = sock;
	close_others(fds, n_keep + 1);
	_exit(ops->main(sock, userdata));
}

static int watch(struct child *child, sd_event *event)
{
	int r;

	r = sd_event_add_io(event, &child->sock_source, child->sock, EPOLLIN, on_sock, child);
	if (r < 0)
		return r;
	r = sd_event_add_io(event, &child->exit_source, child->pidfd, EPOLLIN, on_exit_event,
			    child);
	if (r < 0)
		return r;
	/* Messages before the end. */
	return sd_event_source_set_priority(child->exit_source, SD_EVENT_PRIORITY_NORMAL + 1);
}

int child_spawn(sd_event *event, const struct child_ops *ops, const int *keep, size_t n_keep,
		void *userdata, struct child **ret)
{
	struct child *child;
	int pair[2], r;

	if (n_keep > CHILD_KEEP_MAX)
		return -E2BIG;
	child = calloc(1, sizeof(*child));
	if (!child)
		return -ENOMEM;
	child->ops = ops;
	child->userdata = userdata;
	child->sock = child->pidfd = -EBADF;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		child_destroy(child);
		return r;
	}
	child->sock = pair[0];
	child->pid = fork();
	if (child->pid == 0)
		run_child(ops, pair[1], keep, n_keep, userdata);
	r = child->pid < 0 ? -errno : 0;
	fd_close(pair[1]);
	if (r < 0) {
		child_destroy(child);
		return r;
	}
	/* Nobody reaps the child before this, so the pid is its own still. */
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	r = child->pidfd < 0 ? -errno : watch(child, event);
	if (r < 0) {
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);
		child_destroy(child);
		return r;
	}
	*ret = child;
	return 0;
}

pid_t child_pid(const struct child *child)
{
	return child->pid;
}

int child_send(struct child *child, const void *data, size_t size)
{
	return send(child->sock, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int child_send_fd_borrow(struct child *child, const void *data, size_t size, int fd)
{
	return socket_send_fd_borrow(child->sock, data, size, fd);
}

void child_hang_up(struct child *child)
{
	if (child->sock >= 0)
		shutdown(child->sock, SHUT_WR);
}

void child_kill(struct child *child, int sig)
{
	if (child->pid > 0)
		syscall(SYS_pidfd_send_signal, child->pidfd, sig, NULL, 0);
}

struct child *child_free(struct child *child)
{
	if (!child)
		return NULL;
	if (child->pid == 0)
		return child_destroy(child);
	/* It runs: keep only what reaps it. */
	child->ops = NULL;
	child->sock_source = sd_event_source_disable_unref(child->sock_source);
	child->sock = fd_close(child->sock);
	return NULL;
}
