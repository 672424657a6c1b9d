/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of net.h. */

#include "daemon/hotplug/net.h"

#include "daemon/sysfs/attr.h"
#include "daemon/sysfs/write.h"
#include "daemon/util/clock.h"
#include "daemon/util/log.h"
#include "daemon/util/messages.h"
#include "policy/topology.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LOCK_FILE	"probing.lock"
#define LOCK_POLL_USEC	50000
#define LOCK_TRIES	200 /* of another net: ten seconds */
#define DAEMON_TRIES	40  /* one that dies may show for a moment yet: two seconds */
#define HANDLE_MAX_USEC (4 * 1000 * 1000ULL)

uint32_t net_group_of(const struct host *host, const char *device)
{
	_cleanup_free_ char *name = NULL;
	char path[128];
	uint64_t id;

	if (snprintf(path, sizeof(path), "bus/pci/devices/%s/iommu_group", device) >=
		    (int)sizeof(path) ||
	    attr_read_link(host->sys, path, &name) != 0 ||
	    parse_uint(name, UINT32_MAX - 1, &id) < 0)
		return ID_UNKNOWN;
	return (uint32_t)id;
}

/* ---- one process for each device: one that hangs holds up no other */

enum handling { SHUT_OFF, PROBE };

struct task {
	const char *device;
	pid_t pid;
	int pidfd;
	bool started, over, failed;
};

static int handle(const struct host *host, const char *device, enum handling how)
{
	int r;

	if (how == PROBE)
		/* What the driver says to that is the kernel log's business. */
		return sysfs_probe(host, "pci", device) == -ENOMEM;
	r = sysfs_set_override(host, "pci", device, OVERRIDE_NONE);
	return r < 0 && r != -ENOENT;
}

static int start_task(struct task *task, const struct host *host, enum handling how, int lock)
{
	task->pid = fork();
	if (task->pid == 0) {
		prctl(PR_SET_NAME, how == PROBE ? "vfiod-probe" : "vfiod-fence");
		fd_close(lock);
		_exit(handle(host, task->device, how));
	}
	task->pidfd = task->pid < 0 ? -EBADF : (int)syscall(SYS_pidfd_open, task->pid, 0);
	return task->pidfd < 0 ? -errno : 0;
}

/* False: it runs still when the time is over. */
static bool await_task(struct task *task, uint64_t end)
{
	struct pollfd p = { .fd = task->pidfd, .events = POLLIN };
	uint64_t now = monotonic_usec();
	siginfo_t si = { 0 };

	if (poll(&p, 1, now >= end ? 0 : (int)((end - now) / 1000) + 1) != 1)
		return false;
	if (waitid(P_PIDFD, (id_t)task->pidfd, &si, WEXITED) < 0)
		return false;
	task->failed = si.si_code != CLD_EXITED || si.si_status != 0;
	return true;
}

/* How many are done; the others are named in the log. */
static size_t handle_all(const struct host *host, char *const *devices, enum handling how, int lock)
{
	size_t n = strv_length(devices), done = 0;
	_cleanup_free_ struct task *tasks = calloc(n + 1, sizeof(*tasks));
	const char *what = how == PROBE ? "be probed" : "be shut off";
	uint64_t end;

	if (!tasks) {
		log_error("No memory: %zu devices could not %s", n, what);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		tasks[i].device = devices[i];
		tasks[i].started = start_task(&tasks[i], host, how, lock) >= 0;
		if (tasks[i].started || how == PROBE)
			continue;
		/* Out of processes, or memory: late is better than not at all. */
		tasks[i].failed = handle(host, devices[i], how) != 0;
		tasks[i].over = true;
	}
	end = monotonic_usec() + HANDLE_MAX_USEC;
	for (size_t i = 0; i < n; i++) {
		if (tasks[i].started)
			tasks[i].over = await_task(&tasks[i], end);
		fd_close(tasks[i].pidfd);
		if (tasks[i].over && !tasks[i].failed)
			done++;
		else
			log_error("%s could not %s%s", devices[i], what,
				  tasks[i].over	     ? ""
				  : tasks[i].started ? " yet: that hangs in the kernel"
						     : ": there is no process to be had");
	}
	return done;
}

/* ---- what waits */

struct waiting {
	char **owned, **others;
};

static void waiting_done(struct waiting *waiting)
{
	strv_free(waiting->owned);
	strv_free(waiting->others);
	*waiting = (struct waiting){ 0 };
}

/* before: whom a first pass has handled already. */
static int find_waiting(const struct host *host, const struct autoprobe_state *state,
			const struct owned_groups *owned, const struct waiting *before,
			struct waiting *waiting)
{
	_cleanup_strv_ char **names = NULL;
	int r = autoprobe_waiting(host, state, &names);

	STRV_FOREACH (name, names) {
		bool is_owned =
			owned->unknown || owned_groups_has(owned, net_group_of(host, *name));

		if (r < 0)
			break;
		if (before &&
		    (strv_contains(before->owned, *name) || strv_contains(before->others, *name)))
			continue;
		/* An administrator's own 0 says that nothing new is to be probed; and of whom a bad
		 * file does not tell, somebody may have unbound it. */
		if (is_owned)
			r = strv_extend(&waiting->owned, *name);
		else if (state->prior && !state->bad)
			r = strv_extend(&waiting->others, *name);
	}
	return r < 0 ? r : 0;
}

struct tally {
	size_t shut, probed;
};

static int handle_waiting(const struct host *host, const struct autoprobe_state *state,
			  const struct owned_groups *owned, int lock, const struct waiting *before,
			  struct waiting *waiting, struct tally *tally)
{
	int r = find_waiting(host, state, owned, before, waiting);

	if (r < 0)
		return r;
	/* First these: from the probes on, modules may come. */
	tally->shut += handle_all(host, waiting->owned, SHUT_OFF, lock);
	tally->probed += handle_all(host, waiting->others, PROBE, lock);
	return 0;
}

static int give_back(const struct host *host, int dir, const struct autoprobe_state *state,
		     const struct owned_groups *owned, int lock, struct tally *tally)
{
	_cleanup_(waiting_done) struct waiting first = { 0 }, late = { 0 };
	int r;

	r = handle_waiting(host, state, owned, lock, NULL, &first, tally);
	if (r < 0)
		return r;
	r = autoprobe_set(host, state->prior);
	if (r < 0)
		return r;
	/* What came between the look and the switch was not probed by the kernel either. */
	r = handle_waiting(host, state, owned, lock, &first, &late, tally);
	return r < 0 ? r : autoprobe_forget(dir);
}

int net_run(const struct host *host, int dir, const struct owned_groups *owned, int lock)
{
	_cleanup_(autoprobe_state_done) struct autoprobe_state state;
	struct tally tally = { 0 };
	int r;

	r = autoprobe_state_read(dir, &state);
	if (r >= 0 && !state.there)
		return 0;
	if (state.bad)
		log_error("/run/vfiod/" AUTOPROBE_FILE " makes no sense: which devices wait for "
			  "their first probe is not known; what has no driver is to be probed by "
			  "hand");
	if (r >= 0)
		r = give_back(host, dir, &state, owned, lock, &tally);
	log_record(MESSAGE_PROBING_BACK, r < 0 ? LOG_ERR : LOG_NOTICE,
		   LOG_FIELDS({ FIELD_COUNT, LOG_NUMBER(tally.probed) },
			      { FIELD_REASON, r < 0 ? strerror(-r) : NULL }),
		   "%s%s: %zu devices that waited in leased groups are shut off, %zu others probed",
		   r < 0 ? "drivers_autoprobe of the PCI bus could not be put back: "
			 : "New PCI devices are the kernel's to probe as before",
		   r < 0 ? strerror(-r) : "", tally.shut, tally.probed);
	return r;
}

/* ---- the lock */

int net_lock(int dir, bool daemon)
{
	_cleanup_close_ int fd =
		openat(dir, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EINTR ? -EWOULDBLOCK : -errno;
	if (ftruncate(fd, 0) < 0)
		return -errno;
	if (daemon && dprintf(fd, "%d\n", (int)getpid()) < 0)
		return -EIO;
	return STEAL_FD(fd);
}

/* A child of a dead one may have it for a moment yet. */
static bool daemon_has_lock(int dir)
{
	_cleanup_free_ char *text = NULL;
	int pid;

	if (file_read_at(dir, LOCK_FILE, 64, &text, NULL) < 0)
		return false;
	pid = atoi(text);
	return pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH);
}

/* An fd of the caller; -EWOULDBLOCK: another net takes its time; -EBUSY: a daemon lives. */
static int wait_for_lock(int dir)
{
	int daemon = 0;

	for (int i = 0; i < LOCK_TRIES; i++) {
		int lock = net_lock(dir, false);

		if (lock != -EWOULDBLOCK)
			return lock;
		daemon = daemon_has_lock(dir) ? daemon + 1 : 0;
		if (daemon > DAEMON_TRIES)
			return -EBUSY;
		usleep(LOCK_POLL_USEC);
	}
	return -EWOULDBLOCK;
}

int net_act(const struct host *host, int dir, int journal_dir)
{
	_cleanup_(owned_groups_done) struct owned_groups owned = { 0 };
	_cleanup_close_ int lock = wait_for_lock(dir);
	int r;

	if (lock == -EBUSY)
		return 1;
	if (lock < 0) {
		log_error("The lock of the PCI bus' probing cannot be had: %s", strerror(-lock));
		return lock;
	}
	if (faccessat(dir, AUTOPROBE_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	r = owned_groups_read(journal_dir, &owned);
	if (r < 0) {
		log_error("The journals of leases cannot be read: %s; every device that waits is "
			  "shut off",
			  strerror(-r));
		owned.unknown = true;
	}
	return net_run(host, dir, &owned, lock);
}

int net_unfence(const char *journal_path)
{
	_cleanup_close_ int journal_dir = -EBADF, dir = -EBADF;
	struct host host;
	int r;

	journal_dir = open(journal_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (journal_dir < 0 && errno == ENOENT)
		return EXIT_SUCCESS; /* no daemon has been here */
	if (journal_dir >= 0)
		dir = openat(journal_dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		log_error("%s: %s", journal_path, strerror(errno));
		return EXIT_FAILURE;
	}
	r = host_open(&host);
	if (r < 0) {
		log_error("reading the host: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	r = net_act(&host, dir, journal_dir);
	host_close(&host);
	if (r > 0)
		log_notice("vfiod is running: the PCI bus' probing is its own business");
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
