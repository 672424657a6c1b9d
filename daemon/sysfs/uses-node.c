/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The console's display or serial port, and open device nodes: graphics, sound, tty, watchdog.
 * The kernel shows a user of a node itself only here and there, so who has one open is looked up
 * in /proc/PID/fd of every process: needs CAP_SYS_PTRACE.
 */

#include "daemon/sysfs/uses-read.h"

#include "daemon/sysfs/attr.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Openers of one device that are named. */
#define NAMED_MAX 8

/* ---- console */

/* A bound vtconsole that shows on real hardware: "VGA+" or the frame buffer, not the dummy. */
static int has_graphics_console(const struct host *host, bool *has)
{
	_cleanup_strv_ char **names = NULL;
	int r = attr_list(host->sys, "class/vtconsole", &names);

	*has = false;
	STRV_FOREACH (name, names) {
		_cleanup_free_ char *path = NULL;
		_cleanup_close_ int dir = -EBADF;
		char text[128];

		if (asprintf(&path, "class/vtconsole/%s", *name) < 0)
			return -ENOMEM;
		dir = attr_open_dir(host->sys, path);
		if (dir < 0 || attr_read(dir, "bind", text, sizeof(text)) != 0 || !streq(text, "1"))
			continue;
		if (attr_read(dir, "name", text, sizeof(text)) != 0)
			continue;
		if (strstr(text, "VGA+") || strstr(text, "frame buffer"))
			*has = true;
	}
	return r < 0 ? r : 0;
}

static int read_display(struct uses_run *run)
{
	_cleanup_close_ int dir = attr_open_dir(run->host->sys, run->query->syspath + 5);
	const struct below *frame_buffer = NULL;
	bool boot = false, has;
	char text[8];
	int r;

	if (dir < 0)
		return dir;
	r = attr_read(dir, "boot_vga", text, sizeof(text));
	if (r < 0)
		return r;
	boot = r == 0 && streq(text, "1");
	/* The console is on the first frame buffer unless somebody moved it. */
	for (size_t i = 0; i < run->n_below; i++)
		if (streq(run->below[i].subsystem, "graphics") && streq(run->below[i].name, "fb0"))
			frame_buffer = &run->below[i];
	if (!boot && !frame_buffer)
		return 0;
	r = has_graphics_console(run->host, &has);
	if (r < 0 || !has)
		return r;
	return use_list_add(run->uses, USE_CONSOLE, "the console is on %s",
			    frame_buffer ? "its frame buffer fb0" : "it (boot display)");
}

/* Whether a tty is one of the words of /sys/class/tty/console/active, or begins a line of
 * /proc/consoles. */
static int is_console(struct uses_run *run, const char *tty, bool *is)
{
	_cleanup_free_ char *text = NULL;
	char active[ATTR_SIZE], *save = NULL;
	int r = attr_read(run->host->sys, "class/tty/console/active", active, sizeof(active));

	*is = false;
	if (r < 0)
		return r;
	for (char *w = strtok_r(active, " \n", &save); w; w = strtok_r(NULL, " \n", &save))
		*is = *is || streq(w, tty);
	r = file_read_at(run->host->proc, "consoles", 65536, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		*is = *is || (strncmp(l, tty, strlen(tty)) == 0 && l[strlen(tty)] == ' ');
	return 0;
}

int uses_read_console(struct uses_run *run)
{
	int r = read_display(run);

	for (size_t i = 0; i < run->n_below && r >= 0; i++) {
		bool is = false;

		if (!streq(run->below[i].subsystem, "tty"))
			continue;
		r = is_console(run, run->below[i].name, &is);
		if (r >= 0 && is)
			r = use_list_add(run->uses, USE_CONSOLE, "the console is on %s",
					 run->below[i].name);
	}
	return r;
}

/* ---- nodes */

struct node {
	const char *name;
	dev_t number;
	size_t named;
};

struct nodes {
	struct node *items;
	size_t n;
};

static int add_node(struct nodes *nodes, const char *name, dev_t number)
{
	if (ARRAY_RESERVE_ONE(nodes->items, nodes->n) < 0)
		return -ENOMEM;
	nodes->items[nodes->n++] = (struct node){ .name = name, .number = number };
	return 0;
}

static int collect_nodes(struct uses_run *run, struct nodes *nodes)
{
	for (size_t i = 0; i < run->n_below; i++) {
		const struct below *below = &run->below[i];
		dev_t number;
		int r;

		if (!streq(below->subsystem, "drm") && !streq(below->subsystem, "sound") &&
		    !streq(below->subsystem, "tty") && !streq(below->subsystem, "watchdog"))
			continue;
		r = below_read_dev(run, below, &number);
		if (r < 0)
			return r;
		/* Connectors, cards of sound and the like have no node. */
		if (r == 0)
			r = add_node(nodes, below->name, number);
		/* /dev/watchdog is the first one's second node, of the misc device 130. */
		if (r == 0 && streq(below->name, "watchdog0"))
			r = add_node(nodes, "watchdog", makedev(10, 130));
		if (r < 0)
			return r;
	}
	return 0;
}

/* A watchdog that runs is in use also when nobody has it open. */
static int read_watchdogs(struct uses_run *run)
{
	for (size_t i = 0; i < run->n_below; i++) {
		char state[32];
		int r;

		if (!streq(run->below[i].subsystem, "watchdog"))
			continue;
		r = below_read(run, &run->below[i], "state", state, sizeof(state));
		if (r == 0 && streq(state, "active"))
			r = use_list_add(run->uses, USE_NODES, "%s is running", run->below[i].name);
		if (r < 0)
			return r;
	}
	return 0;
}

static void read_command(int process, char *command, size_t size)
{
	if (attr_read(process, "comm", command, size) != 0)
		snprintf(command, size, "?");
	text_clean(command);
}

/*
 * Looking through the link of /proc opens nothing, and sees through every namespace. Without
 * AT_STATX_DONT_SYNC a file of somebody's FUSE server would be asked for, and we with it could be
 * made to wait for ever.
 */
static int check_fd(struct uses_run *run, struct nodes *nodes, int process, int fds,
		    const char *pid, const char *fd)
{
	struct statx stx;
	dev_t number;

	if (statx(fds, fd, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) < 0 || !S_ISCHR(stx.stx_mode))
		return 0;
	number = makedev(stx.stx_rdev_major, stx.stx_rdev_minor);
	for (size_t i = 0; i < nodes->n; i++) {
		char command[32];
		int r;

		if (nodes->items[i].number != number || nodes->items[i].named >= NAMED_MAX)
			continue;
		read_command(process, command, sizeof(command));
		nodes->items[i].named++;
		r = use_list_add(run->uses, USE_NODES, "%s is open in %s (process %s)",
				 nodes->items[i].name, command, pid);
		if (r < 0)
			return r;
	}
	return 0;
}

/* One process; that it ends meanwhile is nothing. Being refused is: then the answer is not known.
 */
static int check_process(struct uses_run *run, struct nodes *nodes, const char *pid)
{
	_cleanup_close_ int process =
		openat(run->host->proc, pid, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = process < 0 ? -1 : openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	if (fd < 0)
		return errno == ENOENT || errno == ESRCH ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	while (r >= 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = check_fd(run, nodes, process, dirfd(dir), pid, entry->d_name);
	closedir(dir);
	return r;
}

static int check_processes(struct uses_run *run, struct nodes *nodes)
{
	int fd = openat(run->host->proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	while (r >= 0 && (entry = readdir(dir))) {
		uint64_t pid;

		if (parse_uint(entry->d_name, INT32_MAX, &pid) == 0)
			r = check_process(run, nodes, entry->d_name);
	}
	closedir(dir);
	return r;
}

int uses_read_nodes(struct uses_run *run)
{
	struct nodes nodes = { 0 };
	int r = read_watchdogs(run);

	if (r >= 0)
		r = collect_nodes(run, &nodes);
	if (r >= 0 && nodes.n)
		r = check_processes(run, &nodes);
	free(nodes.items);
	return r;
}
