/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmclient: reads one command per line, answers with lines that end in a line with a dot. Keeps
 * fds in named slots, so that a test can hold, use and drop them one by one. What the commands
 * for the bus and for VFIO do is in their own files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmclient.h"

#define SLOTS_MAX 256
#define WORDS_MAX 64

static struct {
	char name[64];
	int fd;
} slots[SLOTS_MAX];
static size_t n_slots;

int slot_get(const char *name)
{
	for (size_t i = n_slots; i > 0; i--)
		if (!strcmp(slots[i - 1].name, name))
			return slots[i - 1].fd;
	return -1;
}

void slot_set(const char *name, int fd)
{
	if (n_slots == SLOTS_MAX)
		abort();
	snprintf(slots[n_slots].name, sizeof(slots[0].name), "%s", name);
	slots[n_slots++].fd = fd;
}

int slot_close(const char *name)
{
	for (size_t i = n_slots; i > 0; i--) {
		if (strcmp(slots[i - 1].name, name))
			continue;
		close(slots[i - 1].fd);
		slots[i - 1] = slots[--n_slots];
		return 0;
	}
	return -1;
}

void slot_close_all(void)
{
	while (n_slots)
		close(slots[--n_slots].fd);
}

void slot_list(void)
{
	for (size_t i = 0; i < n_slots; i++)
		printf("%s\n", slots[i].name);
}

void answer_ok(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("ok ", stdout);
	vprintf(format, ap);
	putchar('\n');
	va_end(ap);
}

void answer_error(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("error ", stdout);
	vprintf(format, ap);
	putchar('\n');
	va_end(ap);
}

void answer_errno(const char *what)
{
	answer_error("%s %s", strerrorname_np(errno), what);
}

static void open_node(char **words, size_t n)
{
	int fd = open(words[2], (n > 3 ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		answer_errno(words[2]);
		return;
	}
	slot_set(words[1], fd);
	answer_ok("%s", words[2]);
}

static void make_pidfd(char **words)
{
	int fd = (int)syscall(SYS_pidfd_open, atoi(words[2]), 0);

	if (fd < 0) {
		answer_errno("pidfd_open");
		return;
	}
	slot_set(words[1], fd);
	answer_ok("pidfd");
}

/* The read end under the name, the write end under NAME.w */
static void make_pipe(char **words)
{
	char name[80];
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0) {
		answer_errno("pipe");
		return;
	}
	slot_set(words[1], fds[0]);
	snprintf(name, sizeof(name), "%s.w", words[1]);
	slot_set(name, fds[1]);
	answer_ok("pipe");
}

static int command_own(char **words, size_t n)
{
	if (!strcmp(words[0], "pid")) {
		answer_ok("%d", (int)getpid());
	} else if (!strcmp(words[0], "memlock")) {
		struct rlimit r;

		getrlimit(RLIMIT_MEMLOCK, &r);
		answer_ok("%llu", (unsigned long long)r.rlim_cur);
	} else if (!strcmp(words[0], "slots")) {
		slot_list();
		answer_ok("slots");
	} else if (!strcmp(words[0], "open") && n >= 3) {
		open_node(words, n);
	} else if (!strcmp(words[0], "pidfd") && n == 3) {
		make_pidfd(words);
	} else if (!strcmp(words[0], "pipe") && n == 2) {
		make_pipe(words);
	} else if (!strcmp(words[0], "close") && n == 2) {
		if (slot_close(words[1]) < 0)
			answer_error("no slot %s", words[1]);
		else
			answer_ok("closed");
	} else if (!strcmp(words[0], "close-all")) {
		slot_close_all();
		answer_ok("closed");
	} else {
		return 0;
	}
	return 1;
}

int main(void)
{
	char line[4096], *words[WORDS_MAX];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		size_t n = 0;

		for (char *w = strtok(line, " \n"); w && n < WORDS_MAX - 1; w = strtok(NULL, " \n"))
			words[n++] = w;
		words[n] = NULL;
		if (n == 0)
			continue;
		if (!strcmp(words[0], "exit"))
			break;
		if (!command_own(words, n) && !command_bus(words, n) && !command_vfio(words, n) &&
		    !command_qmp(words, n))
			answer_error("unknown command or wrong number of words: %s", words[0]);
		puts(".");
		fflush(stdout);
	}
	return 0;
}
