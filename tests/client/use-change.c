/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that changes its lease through libvfiod, for ctl-change.sh: on the mocked host of
 * tests/bus/usual-host.h, as a user who may have the NICs and may not revoke.
 */

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vfiod.h>

#define NIC   "0000:03:00.0"
#define NIC_A "0000:02:01.0"
#define NIC_B "0000:02:02.0"

#define CHECK(condition)                                                      \
	do {                                                                  \
		if (!(condition))                                             \
			errx(1, "line %d: not so: %s", __LINE__, #condition); \
	} while (0)

static struct vfiod_client *client;

static struct vfiod_request *new_request(const char *device, const char *withhold)
{
	struct vfiod_request *request;

	CHECK(vfiod_request_new(&request) == 0);
	CHECK(!device || vfiod_request_add_device(request, device) == 0);
	CHECK(!withhold || vfiod_request_add_withhold(request, withhold) == 0);
	return request;
}

static struct vfiod_lease *acquire(const char *device, const char *mode)
{
	struct vfiod_request *request = new_request(device, NULL);
	struct vfiod_error *error = NULL;
	struct vfiod_lease *lease;

	CHECK(vfiod_request_set_mode(request, mode) == 0);
	if (vfiod_acquire(client, request, &lease, &error) < 0)
		errx(1, "%s: %s", vfiod_error_name(error), vfiod_error_message(error));
	vfiod_request_free(request);
	return lease;
}

static void add(struct vfiod_lease *lease, const char *device, const char *withhold)
{
	struct vfiod_request *request = new_request(device, withhold);
	struct vfiod_error *error = NULL;

	if (vfiod_lease_add_devices(lease, request, &error) < 0)
		errx(1, "%s: %s", vfiod_error_name(error), vfiod_error_message(error));
	vfiod_request_free(request);
}

/* The code of a failure; the lease is as it was. */
static enum vfiod_error_code fail_to_add(struct vfiod_lease *lease, struct vfiod_request *request)
{
	struct vfiod_error *error = NULL;
	enum vfiod_error_code code;

	CHECK(vfiod_lease_add_devices(lease, request, &error) < 0);
	CHECK(error && *vfiod_error_message(error));
	code = vfiod_error_code(error);
	vfiod_error_free(error);
	vfiod_request_free(request);
	return code;
}

static int count_devices(const struct vfiod_lease *lease)
{
	int n = 0;

	while (vfiod_lease_device(lease, (size_t)n))
		n++;
	return n;
}

/* An fd is open until the object lets go of it. */
static void test_cdev(void)
{
	struct vfiod_lease *lease = acquire(NIC, "cdev");
	const char *const gone[] = { NIC_A, NULL };
	int iommufd = vfiod_lease_fd(lease, "iommufd", NULL), fd;

	add(lease, NIC_A, NIC_B);
	CHECK(count_devices(lease) == 2);
	/* What it had is the same, and there is no second iommufd. */
	CHECK(vfiod_lease_fd(lease, "iommufd", NULL) == iommufd);
	fd = vfiod_lease_fd(lease, "device", NIC_A);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(vfiod_lease_fd(lease, "device", NIC) >= 0);
	CHECK(vfiod_lease_fd(lease, "device", NIC_B) == -ENOENT);
	add(lease, NIC_B, NULL);
	CHECK(vfiod_lease_fd(lease, "device", NIC_B) >= 0);
	CHECK(count_devices(lease) == 3);
	/* Its own fd does not keep the kernel from taking the device back. */
	CHECK(vfiod_lease_remove_devices(lease, gone, NULL) >= 0);
	CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF);
	CHECK(vfiod_lease_fd(lease, "device", NIC_A) == -ENOENT);
	CHECK(vfiod_lease_release(lease, NULL) >= 0);
	vfiod_lease_free(lease);
}

static void wait_home(const char *device)
{
	struct timespec moment = { .tv_nsec = 20000000 };
	struct vfiod_request *request = new_request(device, NULL);

	if (strcmp(device, NIC) != 0)
		CHECK(vfiod_request_add_withhold(request, NIC_B) == 0);
	for (int i = 0; i < 1000; i++) {
		struct vfiod_decision *decision;
		int allowed;

		CHECK(vfiod_explain(client, request, &decision, NULL) >= 0);
		allowed = vfiod_decision_allowed(decision);
		vfiod_decision_free(decision);
		if (allowed) {
			vfiod_request_free(request);
			return;
		}
		nanosleep(&moment, NULL);
	}
	errx(1, "%s does not come home", device);
}

/* In mode group each new group comes as one, and nothing for a device of one that is there. */
static void test_group(void)
{
	struct vfiod_lease *lease;

	wait_home(NIC);
	wait_home(NIC_A);
	lease = acquire(NIC, "group");
	CHECK(vfiod_lease_fd(lease, "group", "2") == -ENOENT);
	add(lease, NIC_A, NIC_B);
	CHECK(vfiod_lease_fd(lease, "group", "2") >= 0);
	CHECK(vfiod_lease_group(lease, 1) >= 0 && vfiod_lease_group(lease, 2) == -ENOENT);
	add(lease, NIC_B, NULL);
	CHECK(vfiod_lease_fd(lease, "device", NIC_B) == -ENOENT);
	CHECK(vfiod_lease_release(lease, NULL) >= 0);
	vfiod_lease_free(lease);
}

/* Where a device is for the guest: at the place that is asked for, and known to who asked. */
static void test_places(void)
{
	const char *const emulated[] = { "05.0", "6", NULL }, *const taken[] = { "07.0", NULL };
	struct vfiod_lease *lease;
	struct vfiod_error *error = NULL;

	wait_home(NIC);
	lease = acquire(NIC, "cdev");
	CHECK(!vfiod_lease_guest_address(lease, NIC));
	CHECK(vfiod_lease_reserve_guest_addresses(lease, emulated, NULL) >= 0);
	CHECK(vfiod_lease_place_device(lease, NIC, "6", &error) < 0);
	CHECK(vfiod_error_code(error) == VFIOD_ERROR_ADDRESS_TAKEN);
	error = vfiod_error_free(error);
	/* No device is not every device. */
	CHECK(vfiod_lease_place_device(lease, NULL, "7", NULL) == -EINVAL);
	CHECK(vfiod_lease_place_device(lease, NIC, NULL, NULL) == -EINVAL);
	CHECK(!vfiod_lease_guest_address(lease, NIC));
	CHECK(vfiod_lease_place_device(lease, NIC, "7", NULL) >= 0);
	CHECK(strcmp(vfiod_lease_guest_address(lease, NIC), "00:07.0") == 0);
	CHECK(!vfiod_lease_guest_address(lease, NIC_A));
	CHECK(vfiod_lease_reserve_guest_addresses(lease, taken, &error) < 0);
	CHECK(vfiod_error_code(error) == VFIOD_ERROR_ADDRESS_TAKEN);
	error = vfiod_error_free(error);
	add(lease, NIC_A, NIC_B);
	CHECK(vfiod_lease_place_devices(lease, NULL) >= 0);
	CHECK(strcmp(vfiod_lease_guest_address(lease, NIC), "00:07.0") == 0);
	CHECK(strcmp(vfiod_lease_guest_address(lease, NIC_A), "00:1e.0") == 0);
	CHECK(vfiod_lease_release(lease, NULL) >= 0);
	vfiod_lease_free(lease);
}

static void test_wrong(void)
{
	struct vfiod_lease *lease;
	const char *const last[] = { NIC, NULL }, *const other[] = { NIC_A, NULL };
	const char *const none[] = { NULL };
	struct vfiod_request *request;
	struct vfiod_error *error = NULL;
	int fd;

	wait_home(NIC);
	wait_home(NIC_A);
	lease = acquire(NIC, "cdev");
	fd = vfiod_lease_fd(lease, "device", NIC);
	CHECK(fail_to_add(lease, new_request(NULL, NULL)) == VFIOD_ERROR_OTHER);
	CHECK(fail_to_add(lease, new_request("0000:0f:00.0", NULL)) == VFIOD_ERROR_NO_SUCH_DEVICE);
	CHECK(fail_to_add(lease, new_request(NIC_A, NULL)) == VFIOD_ERROR_CONSENT_REQUIRED);
	CHECK(fail_to_add(lease, new_request(NIC, NULL)) == VFIOD_ERROR_BAD_OPTION);
	/* What only a claim can have is refused, not left out. */
	request = new_request(NIC_A, NIC_B);
	CHECK(vfiod_request_set_persist(request, true) == 0);
	CHECK(fail_to_add(lease, request) == VFIOD_ERROR_BAD_OPTION);
	CHECK(vfiod_lease_remove_devices(lease, none, &error) < 0);
	CHECK(vfiod_error_code(error) == VFIOD_ERROR_BAD_OPTION);
	error = vfiod_error_free(error);
	CHECK(vfiod_lease_remove_devices(lease, other, &error) < 0);
	CHECK(vfiod_error_code(error) == VFIOD_ERROR_NO_SUCH_DEVICE);
	error = vfiod_error_free(error);
	CHECK(vfiod_lease_revoke(lease, 0, NULL, &error) < 0);
	CHECK(vfiod_error_code(error) == VFIOD_ERROR_ACCESS_DENIED);
	error = vfiod_error_free(error);
	CHECK(vfiod_lease_fd(lease, "device", NIC) == fd && fcntl(fd, F_GETFD) >= 0);
	CHECK(vfiod_lease_remove_devices(lease, last, &error) < 0);
	CHECK(vfiod_error_code(error) == VFIOD_ERROR_BAD_OPTION);
	error = vfiod_error_free(error);
	CHECK(vfiod_lease_release(lease, NULL) >= 0);
	CHECK(vfiod_lease_remove_devices(lease, last, &error) < 0);
	error = vfiod_error_free(error);
	vfiod_lease_free(lease);
}

int main(void)
{
	CHECK(vfiod_client_new(&client) >= 0);
	test_cdev();
	test_group();
	test_places();
	test_wrong();
	vfiod_client_free(client);
	puts("all good");
	return 0;
}
