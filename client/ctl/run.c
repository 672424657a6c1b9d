/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfiodctl run: acquire, then become the command. The lifeline is a pidfd of this very process,
 * which the command inherits as its own identity: the lease ends when the command does, and needs
 * neither the bus connection nor anything of vfiodctl, all of which is closed by exec.
 */

#include "client/ctl/claim.h"
#include "client/ctl/names.h"
#include "client/ctl/qemu.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/resource.h>

enum { OPT_QEMU = OPT_VERB };

/* Room for what is pinned besides the guest's memory: other devices' regions, ROMs, tables. */
#define QEMU_SLACK (1024ULL * 1024 * 1024)

struct run {
	struct request_options request;
	char **command; /* as given, borrowed from argv */
	bool qemu;
};

static int lookup(void *userdata, const char *kind, const char *name)
{
	return vfiod_lease_fd(userdata, kind, name);
}

static int set_lifeline(struct request_options *o)
{
	int fd = vfiod_lifeline_self(), r;

	if (fd < 0)
		return ctl_say(EXIT_FAILED,
			       "Cannot make a pidfd of this process for the lease's lifeline: %s.",
			       strerror(-fd));
	r = vfiod_request_set_lifeline(o->request, fd);
	close(fd);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

/* QEMU pins all memory of its guest. The limit is only asked for where it is not there already. */
static int set_qemu_memlock(struct run *run)
{
	struct rlimit limit;
	uint64_t bytes;
	int r;

	if (run->request.memlock_set)
		return EXIT_OK;
	if (qemu_memory(run->command, &bytes) < 0)
		return ctl_say(EXIT_USAGE, "Cannot read QEMU's -m option: give --memlock=SIZE.");
	bytes += QEMU_SLACK;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return ctl_fail(NULL, -errno);
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes)
		return EXIT_OK;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= bytes) {
		limit.rlim_cur = bytes;
		return setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ? ctl_fail(NULL, -errno) : EXIT_OK;
	}
	r = vfiod_request_set_memlock(run->request.request, bytes);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

/* cdev where the kernel has it, otherwise node: the two that QEMU takes. */
static int set_qemu_mode(struct ctl *ctl, struct run *run, const char **mode)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	*mode = run->request.mode;
	if (*mode && streq(*mode, "group"))
		return ctl_say(EXIT_USAGE, "QEMU takes no group descriptors: with --qemu the mode "
					   "is cdev or node.");
	if (*mode && !streq(*mode, "auto"))
		return EXIT_OK;
	r = vfiod_client_has_feature(ctl->client, "cdev", &error);
	if (r < 0)
		return ctl_fail(error, r);
	*mode = r > 0 ? "cdev" : "node";
	r = vfiod_request_set_mode(run->request.request, *mode);
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

/* Whether mode node would be given where cdev was not: the kernel may have cdev where the policy,
 * or what a sibling needs to be parked on, leaves only node. */
static bool node_is_allowed(struct ctl *ctl, struct run *run)
{
	_cleanup_(vfiod_decision_freep) struct vfiod_decision *decision = NULL;

	return vfiod_request_set_mode(run->request.request, "node") >= 0 &&
	       vfiod_explain(ctl->client, run->request.request, &decision, NULL) >= 0 &&
	       vfiod_decision_allowed(decision);
}

static int claim_for_qemu(struct ctl *ctl, struct run *run, struct vfiod_lease **lease)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	const char *mode;
	bool chosen = run->request.mode && !streq(run->request.mode, "auto");
	int r;

	r = set_qemu_mode(ctl, run, &mode);
	if (r != EXIT_OK)
		return r;
	r = claim(ctl, &run->request, lease, &error);
	if (r < 0 && !chosen && streq(mode, "cdev") &&
	    (vfiod_error_code(error) == VFIOD_ERROR_MODE_UNSUPPORTED ||
	     vfiod_error_code(error) == VFIOD_ERROR_NOT_PERMITTED) &&
	    node_is_allowed(ctl, run)) {
		error = vfiod_error_free(error);
		r = claim(ctl, &run->request, lease, &error);
	}
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

static int claim_for_command(struct ctl *ctl, struct run *run, struct vfiod_lease **lease)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	int r;

	r = claim(ctl, &run->request, lease, &error);
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

/* What the command numbers by itself is vfiod's to know; then it numbers the rest. */
static int place_for_qemu(const struct run *run, struct vfiod_lease *lease, char *const *devices,
			  char ***addresses)
{
	_cleanup_(vfiod_error_freep) struct vfiod_error *error = NULL;
	_cleanup_strv_ char **emulated = NULL;
	int r;

	r = qemu_addresses(run->command, &emulated);
	if (r >= 0 && emulated)
		r = vfiod_lease_reserve_guest_addresses(lease, (const char *const *)emulated,
							&error);
	if (r >= 0)
		r = vfiod_lease_place_devices(lease, &error);
	STRV_FOREACH (name, devices) {
		const char *address = r < 0 ? "" : vfiod_lease_guest_address(lease, *name);

		/* What has no place is no PCI device: that is said of it in a moment. */
		if (r >= 0)
			r = strv_extend(addresses, address ? address : "00:00.0");
	}
	return r < 0 ? ctl_fail(error, r) : EXIT_OK;
}

static int add_qemu_options(const struct run *run, struct vfiod_lease *lease, char ***command)
{
	_cleanup_strv_ char **devices = NULL, **addresses = NULL;
	const char *name, *wrong = "";
	int r = 0;

	for (size_t i = 0; r >= 0 && (name = vfiod_lease_device(lease, i)); i++)
		r = strv_extend(&devices, name);
	if (r >= 0) {
		r = place_for_qemu(run, lease, devices, &addresses);
		if (r != EXIT_OK)
			return r;
		r = qemu_arguments(vfiod_lease_mode(lease), devices, addresses, lookup,
				   (void *)lease, command, &wrong);
	}
	if (r == -EINVAL)
		return ctl_say(
			EXIT_UNSUPPORTED,
			"%s cannot be passed to QEMU: it is not a PCI device, or vfiod sent "
			"no descriptor for it. Without --qemu, write QEMU's options yourself.",
			wrong);
	if (r == -EOPNOTSUPP)
		return ctl_say(EXIT_UNSUPPORTED, "QEMU cannot use a lease in mode %s.",
			       vfiod_lease_mode(lease));
	return r < 0 ? ctl_fail(NULL, r) : EXIT_OK;
}

static int build_command(const struct run *run, struct vfiod_lease *lease, char ***command)
{
	_cleanup_free_ char *missing = NULL;
	int r;

	r = replace_arguments(run->command, lookup, lease, command, &missing);
	if (r == -ENOENT)
		return ctl_say(EXIT_USAGE,
			       "The command asks for %s, but a lease in mode %s of these devices "
			       "has no such descriptor.",
			       missing, vfiod_lease_mode(lease));
	if (r < 0)
		return ctl_fail(NULL, r);
	return run->qemu ? add_qemu_options(run, lease, command) : EXIT_OK;
}

/* Everything of the lease goes through exec; everything else is close-on-exec. */
static int inherit_fds(const struct vfiod_lease *lease)
{
	int fd;

	for (size_t i = 0; (fd = vfiod_lease_fd_at(lease, i, NULL, NULL)) >= 0; i++)
		if (fcntl(fd, F_SETFD, 0) < 0)
			return ctl_fail(NULL, -errno);
	return EXIT_OK;
}

static int set_environment(const struct vfiod_lease *lease)
{
	if (setenv("VFIOD_LEASE", vfiod_lease_id(lease), 1) < 0 ||
	    setenv("VFIOD_MODE", vfiod_lease_mode(lease), 1) < 0)
		return ctl_fail(NULL, -errno);
	return EXIT_OK;
}

/* Returns only if it failed. */
static int become(const struct run *run, struct vfiod_lease *lease)
{
	_cleanup_strv_ char **command = NULL;
	int r;

	r = build_command(run, lease, &command);
	if (r == EXIT_OK)
		r = set_environment(lease);
	if (r == EXIT_OK)
		r = inherit_fds(lease);
	if (r != EXIT_OK)
		return r;
	execvp(command[0], command);
	r = errno == ENOENT ? EXIT_COMMAND_NOT_FOUND : EXIT_CANNOT_EXECUTE;
	return ctl_say(r, "Cannot run %s: %s.", command[0], strerror(errno));
}

static int run_command(struct ctl *ctl, struct run *run)
{
	_cleanup_(vfiod_lease_freep) struct vfiod_lease *lease = NULL;
	int r;

	r = ctl_connect(ctl);
	if (r == EXIT_OK)
		r = set_lifeline(&run->request);
	if (r == EXIT_OK && run->qemu)
		r = set_qemu_memlock(run);
	if (r == EXIT_OK)
		r = run->qemu ? claim_for_qemu(ctl, run, &lease)
			      : claim_for_command(ctl, run, &lease);
	if (r != EXIT_OK)
		return r;
	r = become(run, lease);
	/* The lifeline would end it too, a moment later: with this process. */
	if (vfiod_lease_release(lease, NULL) < 0)
		ctl_say(r, "The lease ends with this process.");
	return r;
}

/* Where the command starts: after "--". What is before it is ours, whatever its order. */
static int split(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++)
		if (streq(argv[i], "--"))
			return i;
	return argc;
}

static int parse(struct ctl *ctl, struct run *run, int argc, char *argv[])
{
	static const struct option options[] = {
		COMMON_OPTIONS, REQUEST_OPTIONS, { "qemu", no_argument, NULL, OPT_QEMU }, {}
	};
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == OPT_QEMU) {
			run->qemu = true;
			continue;
		}
		r = request_or_common_option(ctl, &run->request, c, argv[0]);
		if (r >= 0)
			return r;
	}
	return -1;
}

int verb_run(struct ctl *ctl, int argc, char *argv[])
{
	struct run run = {};
	int r, end = split(argc, argv);

	r = request_options_init(&run.request);
	if (r < 0)
		return ctl_fail(NULL, r);
	r = parse(ctl, &run, end, argv);
	if (r < 0 && (optind == end || end + 1 >= argc)) {
		usage_verb(stderr, argv[0]);
		r = ctl_say(EXIT_USAGE, "run needs devices, then --, then a command.");
	}
	if (r < 0 && run.request.persist)
		r = ctl_say(EXIT_USAGE, "The lease of run ends with its command: use \"vfiodctl "
					"acquire --persist\" for one that stays.");
	if (r < 0) {
		run.command = argv + end + 1;
		r = request_devices(&run.request, argv + optind, (size_t)(end - optind));
		if (r == EXIT_OK)
			r = run_command(ctl, &run);
	}
	request_options_done(&run.request);
	return r;
}
