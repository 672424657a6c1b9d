/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The polkit text agent. It is a fallback: an agent of the session that is there already goes
 * first.
 */

#include "client/ctl/agent.h"
#include "policy/base.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_TIMEOUT_MS 2000

static void run_agent(pid_t process, int notify)
{
	char process_text[24], notify_text[24];

	snprintf(process_text, sizeof(process_text), "%d", (int)process);
	snprintf(notify_text, sizeof(notify_text), "%d", notify);
	execlp("pkttyagent", "pkttyagent", "--process", process_text, "--notify-fd", notify_text,
	       "--fallback", (char *)NULL);
	_exit(127);
}

/* The agent closes its end once it is registered; so does the kernel if it cannot even start. */
static void wait_ready(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	(void)poll(&poll_fd, 1, READY_TIMEOUT_MS);
}

bool agent_possible(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

pid_t agent_start(void)
{
	int fds[2];
	pid_t self = getpid(), agent;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return 0;
	agent = fork();
	if (agent == 0) {
		/* Only this end is meant to be inherited. */
		fcntl(fds[1], F_SETFD, 0);
		run_agent(self, fds[1]);
	}
	close(fds[1]);
	if (agent > 0)
		wait_ready(fds[0]);
	close(fds[0]);
	return agent > 0 ? agent : 0;
}

void agent_stop(pid_t agent)
{
	if (agent <= 0)
		return;
	kill(agent, SIGTERM);
	kill(agent, SIGCONT);
	while (waitpid(agent, NULL, 0) < 0 && errno == EINTR)
		;
}
