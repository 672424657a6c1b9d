/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that uses libvfiod, for test-vfiodctl.sh: every call that vfiodctl has no use for,
 * against the stand-in for the daemon. It links the shared library, as any such program does, and
 * has a timer whose signals come all the time.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>
#include <vfiod.h>

#define DEVICE "0000:03:00.0"

static volatile int ticks;

static void tick(int signal)
{
	ticks++;
}

/* Not restarted: whatever can be interrupted is. */
static void start_ticking(void)
{
	struct sigaction action = { .sa_handler = tick };
	struct itimerval timer = { .it_interval.tv_usec = 5000, .it_value.tv_usec = 5000 };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Through the signals. */
static void pause_ms(long ms)
{
	struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

#define CHECK(condition)                                                      \
	do {                                                                  \
		if (!(condition))                                             \
			errx(1, "line %d: not so: %s", __LINE__, #condition); \
	} while (0)

static struct vfiod_request *new_request(const char *name)
{
	struct vfiod_request *request;

	CHECK(vfiod_request_new(&request) == 0);
	CHECK(vfiod_request_add_device(request, DEVICE) == 0);
	CHECK(vfiod_request_set_name(request, name) == 0);
	return request;
}

static struct vfiod_lease *acquire(struct vfiod_client *client, struct vfiod_request *request)
{
	struct vfiod_error *error = NULL;
	struct vfiod_lease *lease = NULL;

	if (vfiod_acquire(client, request, &lease, &error) < 0)
		errx(1, "%s: %s", vfiod_error_name(error), vfiod_error_message(error));
	return lease;
}

/* Until the lease is nowhere to be found. */
static void wait_gone(struct vfiod_client *client, const char *id)
{
	struct vfiod_lease *lease;

	for (int i = 0; i < 500; i++) {
		struct vfiod_error *error = NULL;
		int r = vfiod_find_lease(client, id, &lease, &error);

		if (r < 0) {
			CHECK(vfiod_error_code(error) == VFIOD_ERROR_NO_SUCH_LEASE ||
			      vfiod_error_errno(error) == ENOENT);
			vfiod_error_free(error);
			return;
		}
		vfiod_lease_free(lease);
		pause_ms(20);
	}
	errx(1, "lease %s does not go home", id);
}

static void test_slow_claim(struct vfiod_client *client)
{
	struct vfiod_request *request = new_request("slow-1");
	struct vfiod_lease *lease;
	int before = ticks;
	char id[32];

	lease = acquire(client, request);
	CHECK(ticks > before);
	snprintf(id, sizeof(id), "%s", vfiod_lease_id(lease));
	CHECK(vfiod_lease_release(lease, NULL) == 0);
	vfiod_lease_free(lease);
	vfiod_request_free(request);
	wait_gone(client, id);
}

static void test_descriptors(struct vfiod_client *client)
{
	struct vfiod_request *request = new_request("fds");
	struct vfiod_lease *lease = acquire(client, request), *found;
	const char *kind, *name;
	int device, taken;

	CHECK(strcmp(vfiod_lease_mode(lease), "cdev") == 0);
	CHECK(strcmp(vfiod_lease_device(lease, 0), DEVICE) == 0);
	CHECK(vfiod_lease_device(lease, 1) == NULL);
	CHECK(vfiod_lease_group(lease, 0) == 3);
	CHECK(vfiod_lease_group(lease, 1) == -ENOENT);
	CHECK(strncmp(vfiod_lease_path(lease), "/org/vfiod1/lease/", 18) == 0);

	device = vfiod_lease_fd(lease, "device", DEVICE);
	CHECK(device >= 0 && fcntl(device, F_GETFD) == FD_CLOEXEC);
	CHECK(vfiod_lease_fd(lease, "device", "0000:03:00.1") == -ENOENT);
	CHECK(vfiod_lease_fd(lease, "group", NULL) == -ENOENT);
	CHECK(vfiod_lease_fd_at(lease, 0, &kind, &name) == vfiod_lease_fd(lease, "iommufd", "-"));
	CHECK(strcmp(kind, "iommufd") == 0 && strcmp(name, "-") == 0);
	CHECK(vfiod_lease_fd_at(lease, 1, NULL, NULL) == device);
	CHECK(vfiod_lease_fd_at(lease, 2, NULL, NULL) == -ENOENT);
	taken = vfiod_lease_take_fd(lease, "iommufd", NULL);
	CHECK(taken >= 0);
	CHECK(vfiod_lease_take_fd(lease, "iommufd", NULL) == -ENOENT);
	CHECK(vfiod_lease_fd_at(lease, 0, NULL, NULL) == device);

	/* another object for the same lease, with descriptors of its own */
	CHECK(vfiod_find_lease(client, "fds", &found, NULL) == 0);
	CHECK(vfiod_lease_fd_at(found, 0, NULL, NULL) == -ENOENT);
	CHECK(vfiod_lease_get_fds(found, NULL) == 0);
	CHECK(vfiod_lease_fd(found, "device", DEVICE) >= 0);
	CHECK(vfiod_lease_release(found, NULL) == 0);
	CHECK(vfiod_lease_fd(found, "device", NULL) == -ENOENT);
	vfiod_lease_free(found);

	vfiod_lease_free(lease);
	CHECK(fcntl(device, F_GETFD) < 0 && fcntl(taken, F_GETFD) >= 0);
	close(taken);
	vfiod_request_free(request);
	wait_gone(client, "fds");
}

/* A lease on a pipe outlives its connection, and ends with the last copy of the other end. */
static void test_lifeline(struct vfiod_client *client)
{
	struct vfiod_request *request = new_request("pipe");
	struct vfiod_client *other;
	struct vfiod_lease *lease;
	int holder, fd = vfiod_lifeline_pipe(&holder);

	CHECK(fd >= 0 && fcntl(holder, F_GETFD) == FD_CLOEXEC);
	CHECK(vfiod_request_set_lifeline(request, fd) == 0);
	close(fd);
	CHECK(vfiod_client_new(&other) == 0);
	lease = acquire(other, request);
	vfiod_client_free(other);
	vfiod_lease_free(lease);
	pause_ms(300);
	CHECK(vfiod_find_lease(client, "pipe", &lease, NULL) == 0);
	vfiod_lease_free(lease);
	vfiod_request_free(request); /* has a copy of the daemon's end, not of the holder's */
	close(holder);
	wait_gone(client, "pipe");

	fd = vfiod_lifeline_self();
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	close(fd);
	CHECK(vfiod_lifeline_pid(-1) < 0);
}

static void test_requests(struct vfiod_client *client)
{
	struct vfiod_error *error = NULL;
	struct vfiod_request *request;
	struct vfiod_lease *lease = NULL;
	gid_t gid = 0;

	CHECK(vfiod_request_new(&request) == 0);
	CHECK(vfiod_acquire(client, request, &lease, &error) == -EINVAL && !lease);
	CHECK(strstr(vfiod_error_message(error), "no device") != NULL);
	error = vfiod_error_free(error);
	CHECK(vfiod_request_add_device(request, "") == -EINVAL);
	CHECK(vfiod_request_set_name(request, NULL) == -EINVAL);
	CHECK(vfiod_request_set_owner(request, (uid_t)-1) == -EINVAL);
	CHECK(vfiod_request_set_lifeline(request, -1) == -EBADF);
	CHECK(vfiod_request_add_expect(request, DEVICE, "") == -EINVAL);
	CHECK(vfiod_request_add_device(request, DEVICE) == 0);
	CHECK(vfiod_request_set_subject(request, 0, &gid, 1, "vm.service") == 0);
	CHECK(vfiod_acquire(client, request, &lease, NULL) == -EINVAL && !lease);
	vfiod_request_free(request);
}

static void test_errors(struct vfiod_client *client)
{
	struct vfiod_request *request = new_request("absent");
	struct vfiod_error *error = NULL;
	struct vfiod_lease *lease = NULL;

	CHECK(vfiod_request_add_device(request, "0000:09:00.0") == 0);
	CHECK(vfiod_acquire(client, request, &lease, &error) == -ENODEV && !lease);
	CHECK(vfiod_error_code(error) == VFIOD_ERROR_NO_SUCH_DEVICE);
	CHECK(strcmp(vfiod_error_name(error), "org.vfiod1.Error.NoSuchDevice") == 0);
	CHECK(strstr(vfiod_error_message(error), "0000:09:00.0") != NULL);
	CHECK(vfiod_error_errno(error) == ENODEV);
	vfiod_error_free(error);
	vfiod_request_free(request);

	CHECK(vfiod_error_free(NULL) == NULL && vfiod_lease_free(NULL) == NULL);
	CHECK(vfiod_client_free(NULL) == NULL && vfiod_request_free(NULL) == NULL);
	CHECK(vfiod_decision_free(NULL) == NULL);
	CHECK(vfiod_error_errno(NULL) == ENOMEM && vfiod_error_name(NULL)[0]);
	CHECK(vfiod_error_code_from_name("GroupBusy") == VFIOD_ERROR_GROUP_BUSY);
	CHECK(vfiod_error_code_from_name("org.vfiod1.Error.GroupBusy") == VFIOD_ERROR_GROUP_BUSY);
	CHECK(vfiod_error_code_from_name("Group") == VFIOD_ERROR_OTHER);
	CHECK(vfiod_error_code_from_name("") == VFIOD_ERROR_OTHER);
}

static void test_explain(struct vfiod_client *client)
{
	struct vfiod_request *request = new_request("explained");
	struct vfiod_decision *decision;
	const char *device, *action, *driver;

	/* a lifeline is for Acquire alone, and not sent */
	CHECK(vfiod_request_set_lifeline(request, STDIN_FILENO) == 0);
	CHECK(vfiod_explain(client, request, &decision, NULL) == 0);
	CHECK(vfiod_decision_allowed(decision));
	CHECK(vfiod_decision_plan(decision, 0, &device, &action, &driver) == 0);
	CHECK(strcmp(device, DEVICE) == 0 && strcmp(action, "grant") == 0);
	CHECK(vfiod_decision_plan(decision, 0, NULL, NULL, NULL) == 0);
	CHECK(vfiod_decision_plan(decision, 1, &device, &action, &driver) == -ENOENT);
	vfiod_decision_free(decision);
	vfiod_request_free(request);
}

/* The program's own connection: not closed with the client, and its messages stay in its queue. */
static void test_own_bus(void)
{
	struct vfiod_client *client;
	const char *name;
	sd_bus *bus;

	CHECK(sd_bus_open_system(&bus) >= 0);
	CHECK(vfiod_client_new_with_bus(NULL, &client) == -EINVAL);
	CHECK(vfiod_client_new_with_bus(bus, &client) == 0);
	CHECK(vfiod_client_bus(client) == bus);
	CHECK(vfiod_client_has_feature(client, "cdev", NULL) == 1);
	CHECK(vfiod_client_has_feature(client, "teleport", NULL) == 0);
	vfiod_client_free(client);
	CHECK(sd_bus_get_unique_name(bus, &name) >= 0);
	CHECK(sd_bus_is_open(bus) > 0);
	sd_bus_flush_close_unref(bus);
}

int main(void)
{
	struct vfiod_client *client;

	start_ticking();
	CHECK(vfiod_client_new(&client) == 0);
	test_slow_claim(client);
	test_descriptors(client);
	test_lifeline(client);
	test_requests(client);
	test_errors(client);
	test_explain(client);
	test_own_bus();
	vfiod_client_free(client);
	printf("all good, with %d signals\n", ticks);
	return 0;
}
