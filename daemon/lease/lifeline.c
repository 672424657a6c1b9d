/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The implementation of lifeline.h. A pidfd is asked whether it is over after everything that was
 * read of its process by pid: then pid, uid and unit were those of the process that it means, for a
 * pid is not used again while its pidfd says that the process runs.
 */

#include "daemon/lease/lifeline.h"

#include "daemon/sysfs/attr.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PROC_FILE_MAX  65536
#define PF_KTHREAD     0x00200000 /* include/linux/sched.h */
#define CGROUP_UNIFIED "0::"
#define CGROUP_SYSTEMD ":name=systemd:"

/* ---- the fd */

/* 1: readable or hung up, 0: neither, -errno. */
static int is_over(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	while (poll(&p, 1, 0) < 0)
		if (errno != EINTR)
			return -errno;
	/* An O_PATH fd, which has nothing to wait for. */
	if (p.revents & POLLNVAL)
		return -EBADF;
	return p.revents != 0;
}

/*
 * No file that a user can make has this link: a path begins with a slash, and the text before the
 * colon of the others is the kernel's (fs/anon_inodes.c, fs/pidfs.c).
 */
bool lifeline_is_pidfd(int fd)
{
	char link[64], target[64];
	ssize_t k;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	k = readlink(link, target, sizeof(target) - 1);
	if (k < 0)
		return false;
	target[k] = 0;
	return streq(target, "anon_inode:[pidfd]") || strncmp(target, "pidfd:[", 7) == 0;
}

/* The text after "KEY:" and blanks of a line, or NULL. */
static const char *find_line(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = text; line && *line;) {
		if (strncmp(line, key, n) == 0 && line[n] == ':')
			return line + n + 1 + strspn(line + n + 1, " \t");
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return NULL;
}

/* A positive pid; 0: a process of another pid namespace; -ESRCH: over; -EBADF: no pidfd. */
static pid_t pidfd_pid(int fd)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	const char *value;
	long pid;
	int r;

	if (!lifeline_is_pidfd(fd))
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	r = file_read_at(AT_FDCWD, path, PROC_FILE_MAX, &text, NULL);
	if (r < 0)
		return r;
	value = find_line(text, "Pid");
	if (!value)
		return -EBADF;
	pid = strtol(value, NULL, 10);
	if (pid < 0)
		return -ESRCH;
	return pid > INT_MAX ? -EBADF : (pid_t)pid;
}

/* ---- the process */

static int read_proc(const struct host *host, pid_t pid, const char *file, char **text)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "%d/%s", (int)pid, file);
	r = file_read_at(host->proc, path, PROC_FILE_MAX, text, NULL);
	/* It ended between the look-up and the read, or before. */
	return r == -ENOENT ? -ESRCH : r;
}

struct process {
	uid_t uids[3]; /* real, effective, saved */
	pid_t process; /* a pidfd can mean a thread of it */
	bool kernel;
};

static int read_status(const struct host *host, pid_t pid, struct process *process)
{
	_cleanup_free_ char *text = NULL;
	const char *uid, *tgid;
	unsigned int u[3];
	int r, t;

	r = read_proc(host, pid, "status", &text);
	if (r < 0)
		return r;
	uid = find_line(text, "Uid");
	tgid = find_line(text, "Tgid");
	if (!uid || sscanf(uid, "%u %u %u", &u[0], &u[1], &u[2]) != 3 || !tgid ||
	    sscanf(tgid, "%d", &t) != 1)
		return -EIO;
	for (size_t i = 0; i < 3; i++)
		process->uids[i] = u[i];
	process->process = t;
	return 0;
}

static int read_flags(const struct host *host, pid_t pid, struct process *process)
{
	_cleanup_free_ char *text = NULL;
	const char *end;
	unsigned int flags;
	int r;

	r = read_proc(host, pid, "stat", &text);
	if (r < 0)
		return r;
	/* The command may have parentheses of its own: the last one counts. */
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
		return -EIO;
	process->kernel = flags & PF_KTHREAD;
	return 0;
}

static bool belongs_to(const struct process *process, uid_t owner)
{
	if (process->process == 1 || process->kernel)
		return false;
	for (size_t i = 0; i < 3; i++)
		if (process->uids[i] != owner)
			return false;
	return true;
}

static int inspect_pidfd(const struct host *host, int fd, uid_t owner, bool any_uid,
			 struct lifeline_info *info)
{
	struct process process = { 0 };
	pid_t pid = pidfd_pid(fd);
	int r;

	if (pid == -ESRCH)
		return LIFELINE_DEAD;
	if (pid < 0)
		return (int)pid;
	/* A process that cannot be seen from here: whose it is cannot be known. */
	if (pid == 0)
		return LIFELINE_FOREIGN;
	r = read_status(host, pid, &process);
	if (r >= 0)
		r = read_flags(host, pid, &process);
	if (r < 0 && r != -ESRCH)
		return r;
	if (r == -ESRCH)
		return LIFELINE_DEAD;
	r = is_over(fd, POLLIN);
	if (r != 0)
		return r < 0 ? r : LIFELINE_DEAD;
	if (!any_uid && !belongs_to(&process, owner))
		return LIFELINE_FOREIGN;
	*info = (struct lifeline_info){
		.kind = LIFELINE_PIDFD,
		.pid = pid,
		.uid = process.uids[0],
	};
	return 0;
}

static int inspect_file(int fd, const struct stat *st, struct lifeline_info *info)
{
	int flags = fcntl(fd, F_GETFL), r;

	if (flags < 0)
		return -errno;
	*info = (struct lifeline_info){ .kind = LIFELINE_SOCKET };
	if (S_ISFIFO(st->st_mode)) {
		info->kind = LIFELINE_PIPE;
		/* One that can be written to holds itself open: it would never hang up. */
		if ((flags & O_ACCMODE) != O_RDONLY)
			return LIFELINE_BAD_KIND;
	} else if (!S_ISSOCK(st->st_mode)) {
		return LIFELINE_BAD_KIND;
	}
	if (flags & O_PATH)
		return LIFELINE_BAD_KIND;
	r = is_over(fd, POLLIN | POLLRDHUP);
	return r > 0 ? LIFELINE_DEAD : r;
}

int lifeline_inspect(const struct host *host, int fd, uid_t owner, bool any_uid,
		     struct lifeline_info *info)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (lifeline_is_pidfd(fd))
		return inspect_pidfd(host, fd, owner, any_uid, info);
	return inspect_file(fd, &st, info);
}

/* ---- the unit */

static bool has_suffix(const char *s, size_t n, const char *suffix)
{
	size_t k = strlen(suffix);

	return n > k && strncmp(s + n - k, suffix, k) == 0;
}

static bool is_unit_name(const char *s, size_t n)
{
	if (n > 255 || !(has_suffix(s, n, ".service") || has_suffix(s, n, ".scope")))
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] > '~')
			return false;
	return true;
}

/*
 * The unit of a cgroup path: what comes first after the slices (systemd.slice(5), and "Units" in
 * systemd's CGROUP_DELEGATION). What is below belongs to who runs in the unit, and can have any
 * name.
 */
static int unit_of_path(const char *path, size_t size, char **unit)
{
	const char *end = path + size;

	while (path < end && *path == '/') {
		const char *name = ++path;
		size_t n;

		while (path < end && *path != '/')
			path++;
		n = (size_t)(path - name);
		/* systemd puts "_" before a name that the kernel could take for its own. */
		if (n && *name == '_') {
			name++;
			n--;
		}
		if (has_suffix(name, n, ".slice"))
			continue;
		if (!is_unit_name(name, n))
			return 0;
		*unit = strndup(name, n);
		return *unit ? 0 : -ENOMEM;
	}
	return 0;
}

static int unit_of_cgroups(const char *text, char **unit)
{
	for (const char *line = text; *line;) {
		const char *end = strchrnul(line, '\n'), *path = NULL, *systemd;

		if (strncmp(line, CGROUP_UNIFIED, strlen(CGROUP_UNIFIED)) == 0)
			path = line + strlen(CGROUP_UNIFIED);
		systemd = line + strspn(line, "0123456789");
		if (strncmp(systemd, CGROUP_SYSTEMD, strlen(CGROUP_SYSTEMD)) == 0)
			path = systemd + strlen(CGROUP_SYSTEMD);
		if (path && !*unit) {
			int r = unit_of_path(path, (size_t)(end - path), unit);

			if (r < 0)
				return r;
		}
		line = *end ? end + 1 : end;
	}
	return 0;
}

int process_unit(const struct host *host, int pidfd, char **unit)
{
	_cleanup_free_ char *text = NULL, *found = NULL;
	pid_t pid = pidfd_pid(pidfd);
	int r;

	*unit = NULL;
	if (pid <= 0)
		return pid < 0 ? (int)pid : -ESRCH;
	r = read_proc(host, pid, "cgroup", &text);
	if (r >= 0)
		r = unit_of_cgroups(text, &found);
	if (r < 0)
		return r;
	r = is_over(pidfd, POLLIN);
	if (r != 0)
		return r < 0 ? r : -ESRCH;
	*unit = STEAL(found);
	return 0;
}

/* ---- locked memory */

int process_raise_memlock(const struct host *host, int pidfd, uint64_t bytes)
{
	rlim_t wanted = bytes > RLIM_INFINITY ? RLIM_INFINITY : (rlim_t)bytes;
	pid_t pid = pidfd_pid(pidfd);
	struct rlimit limit;
	int r;

	if (pid <= 0)
		return pid < 0 ? (int)pid : -ESRCH;
	if (prlimit(pid, RLIMIT_MEMLOCK, NULL, &limit) < 0)
		return -errno;
	if (limit.rlim_cur >= wanted && limit.rlim_max >= wanted)
		return 0;
	if (limit.rlim_cur < wanted)
		limit.rlim_cur = wanted;
	if (limit.rlim_max < wanted)
		limit.rlim_max = wanted;
	/* prlimit() knows pids only: asked as late as can be whether it is this process's still. */
	r = is_over(pidfd, POLLIN);
	if (r != 0)
		return r < 0 ? r : -ESRCH;
	if (prlimit(pid, RLIMIT_MEMLOCK, &limit, NULL) < 0)
		return -errno;
	r = is_over(pidfd, POLLIN);
	return r > 0 ? -ESRCH : r;
}
