/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stand-in for the daemon, on the bus of DBUS_SYSTEM_BUS_ADDRESS: a fixed host with one IOMMU,
 * four groups and seven devices, and leases that come and go, without any kernel behind them. It
 * makes the client meet what is rare or unwelcome: slow claims, a lease that drains for a while or
 * fails, a handoff that breaks, labels with escape sequences. It knows nothing of policy. Its
 * vtables have the shape of dbus/org.vfiod1.xml.
 *
 * What a claim does is chosen by its option "name": slow-N (answer after N seconds), drain-N (stay
 * draining for N seconds after the end), fail (fail on the way home), handoff-KIND (a broken
 * handoff), ask (refuse unless interactive).
 */

#include "policy/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#define ROOT	"/org/vfiod1"
#define E(name) "org.vfiod1.Error." name

struct fake_device {
	const char *name, *path, *driver, *model;
	uint32_t group;
	uint16_t vendor, product;
	const char *use; /* why the host needs it */
	char state[16];
};

static struct fake_device devices[] = {
	{ "0000:00:1f.2", ROOT "/device/pci_0000_00_1f_2", "ahci", "82801IR SATA Controller", 1,
	  0x8086, 0x2922, "mount / (sda1)", "host" },
	{ "0000:01:00.0", ROOT "/device/pci_0000_01_00_0", "shpchp", "QEMU PCIe-PCI bridge", 2,
	  0x1b36, 0x000e, NULL, "host" },
	{ "0000:02:01.0", ROOT "/device/pci_0000_02_01_0", "e1000", "82540EM Gigabit Ethernet", 2,
	  0x8086, 0x100e, NULL, "host" },
	{ "0000:02:02.0", ROOT "/device/pci_0000_02_02_0", "e1000", "82540EM Gigabit Ethernet", 2,
	  0x8086, 0x100e, NULL, "host" },
	{ "0000:03:00.0", ROOT "/device/pci_0000_03_00_0", "e1000e", "82574L Gigabit Network", 3,
	  0x8086, 0x10d3, NULL, "host" },
	{ "10000:04:00.1", ROOT "/device/pci_10000_04_00_1", "", "NVMe \033[31mred\033[0m", 12,
	  0x1b36, 0x0010, NULL, "host" },
	{ "uart.0", ROOT "/device/uart_2e0", "", "", 12, 0, 0, NULL, "host" },
};

struct fake_group {
	uint32_t id;
	const char *path;
	char state[16];
	char lease[64];
};

static struct fake_group groups[] = {
	{ 1, ROOT "/group/1", "host", "/" },
	{ 2, ROOT "/group/2", "host", "/" },
	{ 3, ROOT "/group/3", "host", "/" },
	{ 12, ROOT "/group/12", "host", "/" },
};

struct fake_lease {
	struct fake_lease *next;
	char id[8], path[64], name[64], mode[8], state[16];
	uint32_t owner;
	uint64_t since;
	unsigned int drain;
	bool fail, device_fds;
	bool granted[ARRAY_SIZE(devices)];
	bool in_group[ARRAY_SIZE(groups)];
	sd_bus_slot *slot;
	sd_event_source *lifeline, *timer, *handoff;
	sd_bus_track *track;
};

static struct fake_lease *leases;
static sd_bus *bus;
static sd_event *event;
static unsigned int next_id = 1;
static uint64_t serial = 1;

/* --------------------------------------------------------------------------------- properties */

static int append_paths(sd_bus_message *m, const bool *which, size_t n, bool of_groups)
{
	int r = sd_bus_message_open_container(m, 'a', "o");

	for (size_t i = 0; r >= 0 && i < n; i++)
		if (!which || which[i])
			r = sd_bus_message_append(m, "o",
						  of_groups ? groups[i].path : devices[i].path);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int get_features(sd_bus *b, const char *path, const char *interface, const char *property,
			sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	if (getenv("FAKE_NO_CDEV"))
		return sd_bus_message_append(m, "as", 1, "group");
	return sd_bus_message_append(m, "as", 3, "iommufd", "cdev", "group");
}

static int get_manager(sd_bus *b, const char *path, const char *interface, const char *property,
		       sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	if (streq(property, "Version"))
		return sd_bus_message_append(m, "s", "fake");
	if (streq(property, "PolicyFiles"))
		return sd_bus_message_append(m, "as", 0);
	if (streq(property, "PolicySerial"))
		return sd_bus_message_append(m, "t", serial);
	if (streq(property, "Draining"))
		return sd_bus_message_append(m, "b", 0);
	return sd_bus_message_append(m, "a{sv}", 1, "leases", "u", 64);
}

static int get_iommu(sd_bus *b, const char *path, const char *interface, const char *property,
		     sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	uint32_t n = 0;

	for (struct fake_lease *l = leases; l; l = l->next)
		n++;
	if (streq(property, "Name"))
		return sd_bus_message_append(m, "s", "dmar0");
	if (streq(property, "Driver"))
		return sd_bus_message_append(m, "s", "intel-iommu");
	if (streq(property, "Devices"))
		return append_paths(m, NULL, ARRAY_SIZE(devices), false);
	if (streq(property, "Groups"))
		return append_paths(m, NULL, 3, true);
	if (streq(property, "Leases"))
		return sd_bus_message_append(m, "u", n);
	if (streq(property, "InUse"))
		return sd_bus_message_append(m, "b", n > 0);
	return sd_bus_message_append(m, "a{sv}", 1, "cap", "t", UINT64_C(0xd2008c222f0686));
}

static int get_group(sd_bus *b, const char *path, const char *interface, const char *property,
		     sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_group *g = userdata;
	bool in[ARRAY_SIZE(devices)];

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		in[i] = devices[i].group == g->id;
	if (streq(property, "Id"))
		return sd_bus_message_append(m, "u", g->id);
	if (streq(property, "Generation"))
		return sd_bus_message_append(m, "t", UINT64_C(1));
	if (streq(property, "Type"))
		return sd_bus_message_append(m, "s", "DMA-FQ");
	if (streq(property, "State"))
		return sd_bus_message_append(m, "s", g->state);
	if (streq(property, "Iommu"))
		return sd_bus_message_append(m, "o", g->id == 12 ? "/" : ROOT "/iommu/dmar0");
	if (streq(property, "Devices"))
		return append_paths(m, in, ARRAY_SIZE(devices), false);
	if (streq(property, "Viable"))
		return sd_bus_message_append(m, "b", !streq(g->state, "host") || g->id == 12);
	if (streq(property, "Blockers"))
		return g->id == 1 ? sd_bus_message_append(m, "a(os)", 1, devices[0].path,
							  "bound to ahci")
				  : sd_bus_message_append(m, "a(os)", 0);
	if (streq(property, "Lease"))
		return sd_bus_message_append(m, "o", g->lease);
	if (streq(property, "Node"))
		return sd_bus_message_append(m, "s", "");
	return sd_bus_message_append(m, "a(tts)", 1, UINT64_C(0xfee00000), UINT64_C(0xfeefffff),
				     "msi");
}

static int get_device(sd_bus *b, const char *path, const char *interface, const char *property,
		      sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_device *d = userdata;
	bool home = streq(d->state, "host");
	char group[64];

	snprintf(group, sizeof(group), ROOT "/group/%u", d->group);
	if (streq(property, "Name"))
		return sd_bus_message_append(m, "s", d->name);
	if (streq(property, "Subsystem"))
		return sd_bus_message_append(m, "s", d->vendor ? "pci" : "platform");
	if (streq(property, "Group"))
		return sd_bus_message_append(m, "o", group);
	if (streq(property, "Iommu"))
		return sd_bus_message_append(m, "o", ROOT "/iommu/dmar0");
	if (streq(property, "State"))
		return sd_bus_message_append(m, "s", d->state);
	if (streq(property, "Driver"))
		return sd_bus_message_append(m, "s", home ? d->driver : "vfio-pci");
	if (streq(property, "SavedDriver"))
		return sd_bus_message_append(m, "s", home ? "" : d->driver);
	if (streq(property, "Vendor"))
		return sd_bus_message_append(m, "q", d->vendor);
	if (streq(property, "Product"))
		return sd_bus_message_append(m, "q", d->product);
	if (streq(property, "Model"))
		return sd_bus_message_append(m, "s", d->model);
	if (streq(property, "Parent"))
		return sd_bus_message_append(
			m, "o", strncmp(d->name, "0000:02:", 8) == 0 ? devices[1].path : "/");
	return d->use ? sd_bus_message_append(m, "as", 1, "block")
		      : sd_bus_message_append(m, "as", 0);
}

static int get_lease(sd_bus *b, const char *path, const char *interface, const char *property,
		     sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_lease *l = userdata;

	if (streq(property, "Id"))
		return sd_bus_message_append(m, "s", l->id);
	if (streq(property, "Name"))
		return sd_bus_message_append(m, "s", l->name);
	if (streq(property, "Owner"))
		return sd_bus_message_append(m, "u", l->owner);
	if (streq(property, "Mode"))
		return sd_bus_message_append(m, "s", l->mode);
	if (streq(property, "State"))
		return sd_bus_message_append(m, "s", l->state);
	if (streq(property, "Groups"))
		return append_paths(m, l->in_group, ARRAY_SIZE(groups), true);
	if (streq(property, "Devices"))
		return append_paths(m, l->granted, ARRAY_SIZE(devices), false);
	if (streq(property, "Withheld") || streq(property, "Fenced"))
		return sd_bus_message_append(m, "ao", 0);
	if (streq(property, "Holders"))
		return streq(l->state, "draining")
			       ? sd_bus_message_append(m, "a(us)", 1, 4711, "qemu\033[2J")
			       : sd_bus_message_append(m, "a(us)", 0);
	if (streq(property, "Errors"))
		return l->fail && streq(l->state, "failed")
			       ? sd_bus_message_append(m, "a(os)", 1, devices[4].path,
						       "no driver took it")
			       : sd_bus_message_append(m, "a(os)", 0);
	if (streq(property, "Since"))
		return sd_bus_message_append(m, "t", l->since);
	return sd_bus_message_append(m, "a(os)", 0);
}

/* --------------------------------------------------------------------------- the life of a lease
 */

static struct fake_group *find_group(uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (groups[i].id == id)
			return &groups[i];
	return NULL;
}

static void set_state(struct fake_lease *l, const char *group_state, const char *device_state,
		      const char *lease_state)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (!l->in_group[i])
			continue;
		strcpy(groups[i].state, group_state);
		strcpy(groups[i].lease, streq(group_state, "host") ? "/" : l->path);
		sd_bus_emit_properties_changed(bus, groups[i].path, "org.vfiod1.Group", "State",
					       "Lease", NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		if (!l->granted[i])
			continue;
		strcpy(devices[i].state, device_state);
		sd_bus_emit_properties_changed(bus, devices[i].path, "org.vfiod1.Device", "State",
					       "Driver", "SavedDriver", NULL);
	}
	strcpy(l->state, lease_state);
	if (l->slot)
		sd_bus_emit_properties_changed(bus, l->path, "org.vfiod1.Lease", "State", NULL);
}

static void lease_free(struct fake_lease *l)
{
	for (struct fake_lease **p = &leases; *p; p = &(*p)->next)
		if (*p == l) {
			*p = l->next;
			break;
		}
	sd_event_source_disable_unref(l->lifeline);
	sd_event_source_disable_unref(l->timer);
	sd_event_source_disable_unref(l->handoff);
	sd_bus_track_unref(l->track);
	sd_bus_slot_unref(l->slot);
	free(l);
}

static int on_home(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct fake_lease *l = userdata;

	if (l->fail) {
		set_state(l, "failed", "granted", "failed");
		return 0;
	}
	set_state(l, "host", "host", "restoring");
	sd_bus_emit_signal(bus, l->path, "org.vfiod1.Lease", "Ended", "s", "released");
	sd_bus_emit_object_removed(bus, l->path);
	lease_free(l);
	return 0;
}

static void lease_end(struct fake_lease *l)
{
	if (!streq(l->state, "leased"))
		return;
	set_state(l, "draining", "granted", "draining");
	sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, l->drain * 1000000ULL + 50000,
				   0, on_home, l);
}

static int on_lifeline(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct fake_lease *l = userdata;

	sd_event_source_set_enabled(s, SD_EVENT_OFF);
	lease_end(l);
	return 0;
}

static int on_track(sd_bus_track *track, void *userdata)
{
	lease_end(userdata);
	return 1; /* 0 would queue it again, for ever */
}

static int method_release(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	lease_end(userdata);
	return sd_bus_reply_method_return(m, "");
}

static int method_restore(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_lease *l = userdata;

	l->fail = false;
	set_state(l, "restoring", "granted", "restoring");
	l->timer = sd_event_source_disable_unref(l->timer);
	sd_event_add_time_relative(event, &l->timer, CLOCK_MONOTONIC, 100000, 0, on_home, l);
	return sd_bus_reply_method_return(m, "");
}

/* -------------------------------------------------------------------------------- the handoff */

static void send_packet(int socket, const char *text, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	if (sendmsg(socket, &msg, MSG_NOSIGNAL) < 0)
		perror("fake-vfiod: sendmsg");
}

static unsigned int send_devices(const struct fake_lease *l, int socket, int fd)
{
	unsigned int n = 0;
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		if (!l->granted[i])
			continue;
		snprintf(text, sizeof(text), "device %s", devices[i].name);
		send_packet(socket, text, fd);
		n++;
	}
	return n;
}

static unsigned int send_all(const struct fake_lease *l, int socket, int fd)
{
	unsigned int n = 0;
	char text[64];

	if (streq(l->mode, "cdev")) {
		send_packet(socket, "iommufd -", fd);
		return 1 + send_devices(l, socket, fd);
	}
	if (!streq(l->mode, "group"))
		return 0;
	send_packet(socket, "container -", fd);
	n++;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (!l->in_group[i])
			continue;
		snprintf(text, sizeof(text), "group %u", groups[i].id);
		send_packet(socket, text, fd);
		n++;
	}
	return n + (l->device_fds ? send_devices(l, socket, fd) : 0);
}

static int on_handoff(sd_event_source *s, int socket, uint32_t revents, void *userdata)
{
	struct fake_lease *l = userdata;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned int n;
	char text[64];

	if (streq(l->name, "handoff-error")) {
		send_packet(socket, "error UnsafeInterrupts No interrupt remapping here.", -1);
	} else if (streq(l->name, "handoff-hangup")) {
		send_packet(socket, "iommufd -", fd);
	} else {
		n = send_all(l, socket, fd);
		snprintf(text, sizeof(text), "end %u", streq(l->name, "handoff-count") ? n + 1 : n);
		send_packet(socket, text, -1);
	}
	close(fd);
	l->handoff = sd_event_source_disable_unref(l->handoff);
	return 0;
}

/* The client's end, to be closed after it was sent. */
static int open_handoff(struct fake_lease *l)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	l->handoff = sd_event_source_disable_unref(l->handoff);
	if (sd_event_add_io(event, &l->handoff, fds[0], EPOLLIN, on_handoff, l) < 0 ||
	    sd_event_source_set_io_fd_own(l->handoff, 1) < 0)
		return -ENOMEM;
	return fds[1];
}

static int method_get_fds(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	int fd = open_handoff(userdata), r;

	if (fd < 0)
		return fd;
	r = sd_bus_reply_method_return(m, "h", fd);
	close(fd);
	return r;
}

/* One address, of the device that a claim here mostly has; "1e.0" is somebody else's. */
static int method_place(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_lease *l = userdata;
	sd_bus_message *reply;
	unsigned int slot = 0x1d;
	int r = sd_bus_message_new_method_return(m, &reply);

	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(ss)");
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(devices); i++) {
		char address[16];

		if (!l->granted[i])
			continue;
		snprintf(address, sizeof(address), "00:%02x.0", slot--);
		r = sd_bus_message_append(reply, "(ss)", devices[i].name, address);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	sd_bus_message_unref(reply);
	return r;
}

static int method_reserve(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	char **addresses = NULL;
	bool taken;
	int r = sd_bus_message_read_strv(m, &addresses);

	taken = strv_contains(addresses, "00:1e.0");
	strv_free(addresses);
	if (taken)
		return sd_bus_error_set(error, E("AddressTaken"),
					"00:1e.0 is the address of 0000:03:00.0.");
	return r < 0 ? r : sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable lease_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Release", "", "", method_release, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD_WITH_NAMES("GetFds", "", , "h", SD_BUS_PARAM(handoff), method_get_fds,
				 SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Restore", "", "", method_restore, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("PlaceDevices", "a{sv}", "a(ss)", method_place, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("ReserveGuestAddresses", "as", "", method_reserve,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Id", "s", get_lease, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Name", "s", get_lease, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Owner", "u", get_lease, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Mode", "s", get_lease, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("State", "s", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Groups", "ao", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Devices", "ao", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Withheld", "ao", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Fenced", "ao", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Holders", "a(us)", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Errors", "a(os)", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Since", "t", get_lease, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Rules", "a(os)", get_lease, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_SIGNAL_WITH_NAMES("Ended", "s", SD_BUS_PARAM(reason), 0),
	SD_BUS_VTABLE_END,
};

/* ---------------------------------------------------------------------------------- the claim */

struct claim {
	struct fake_lease *lease;
	sd_bus_message *call;
	bool interactive;
};

static int read_options(sd_bus_message *m, struct claim *c, sd_bus_error *error)
{
	struct fake_lease *l = c->lease;
	const char *key, *s, *type;
	int r, fd, b;

	r = sd_bus_message_enter_container(m, 'a', "{sv}");
	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read_basic(m, 's', &key);
		if (r >= 0)
			r = sd_bus_message_peek_type(m, NULL, &type);
		if (r < 0)
			return r;
		if (streq(key, "mode") && (r = sd_bus_message_read(m, "v", "s", &s)) >= 0)
			snprintf(l->mode, sizeof(l->mode), "%s", s);
		else if (streq(key, "name") && (r = sd_bus_message_read(m, "v", "s", &s)) >= 0)
			snprintf(l->name, sizeof(l->name), "%s", s);
		else if (streq(key, "device-fds") &&
			 (r = sd_bus_message_read(m, "v", "b", &b)) >= 0)
			l->device_fds = b;
		else if (streq(key, "interactive") &&
			 (r = sd_bus_message_read(m, "v", "b", &b)) >= 0)
			c->interactive = b;
		else if (streq(key, "lifeline") &&
			 (r = sd_bus_message_read(m, "v", "h", &fd)) >= 0) {
			fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
			r = sd_event_add_io(event, &l->lifeline, fd, EPOLLIN, on_lifeline, l);
			sd_event_source_set_io_fd_own(l->lifeline, 1);
		} else if (streq(key, "bogus"))
			return sd_bus_error_set(error, E("BadOption"), "There is no option bogus.");
		else if (r >= 0 && !streq(key, "mode") && !streq(key, "name") &&
			 !streq(key, "device-fds") && !streq(key, "interactive"))
			r = sd_bus_message_skip(m, "v");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r;
}

static int take_device(struct fake_lease *l, const char *name, sd_bus_error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		struct fake_group *g = find_group(devices[i].group);

		if (!streq(devices[i].name, name) && !streq(devices[i].path, name))
			continue;
		if (devices[i].use)
			return sd_bus_error_setf(error, E("DeviceInUse"),
						 "%s is in use: %s. Unmount it first.", name,
						 devices[i].use);
		if (!streq(g->lease, "/"))
			return sd_bus_error_setf(error, E("GroupBusy"),
						 "Group %u of %s is leased: lease %s.", g->id, name,
						 strrchr(g->lease, '/') + 1);
		l->granted[i] = true;
		l->in_group[g - groups] = true;
		return 0;
	}
	return sd_bus_error_setf(error, E("NoSuchDevice"), "There is no device %s.", name);
}

static int check_consent(struct fake_lease *l, sd_bus_error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (l->in_group[find_group(devices[i].group) - groups] && !l->granted[i] &&
		    devices[i].driver[0])
			return sd_bus_error_setf(error, E("ConsentRequired"),
						 "%s is on %s and was not named: name it too.",
						 devices[i].name, devices[i].driver);
	return 0;
}

static int settle_mode(struct fake_lease *l, sd_bus_error *error)
{
	bool cdev = !getenv("FAKE_NO_CDEV");

	if (streq(l->mode, "auto") || !l->mode[0])
		strcpy(l->mode, cdev ? "cdev" : "group");
	if (streq(l->mode, "cdev") && (!cdev || getenv("FAKE_DENY_CDEV")))
		return sd_bus_error_set(error, cdev ? E("NotPermitted") : E("ModeUnsupported"),
					"No mode cdev here.");
	return 0;
}

static int finish_claim(struct claim *c)
{
	struct fake_lease *l = c->lease;
	struct timespec now;
	int fd, r;

	clock_gettime(CLOCK_REALTIME, &now);
	l->since = (uint64_t)now.tv_sec * 1000000;
	l->next = leases;
	leases = l;
	set_state(l, "leased", "granted", "leased");
	r = sd_bus_add_object_vtable(bus, &l->slot, l->path, "org.vfiod1.Lease", lease_vtable, l);
	if (r < 0)
		return r;
	sd_bus_emit_object_added(bus, l->path);
	if (!l->lifeline) {
		sd_bus_track_new(bus, &l->track, on_track, l);
		sd_bus_track_add_sender(l->track, c->call);
	}
	fd = open_handoff(l);
	r = sd_bus_reply_method_return(c->call, "oh", l->path, fd);
	close(fd);
	return r;
}

static int on_slow(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct claim *c = userdata;
	int r;

	sd_event_source_unref(s);
	r = finish_claim(c);
	sd_bus_message_unref(c->call);
	free(c);
	return r;
}

static int start_claim(struct claim *c)
{
	unsigned int seconds = 0;
	sd_event_source *timer;

	if (sscanf(c->lease->name, "slow-%u", &seconds) == 1) {
		set_state(c->lease, "preparing", "granted", "preparing");
		return sd_event_add_time_relative(event, &timer, CLOCK_MONOTONIC,
						  seconds * 1000000ULL, 0, on_slow, c);
	}
	return 0;
}

static int read_claim(sd_bus_message *m, struct claim *c, sd_bus_error *error)
{
	char **names = NULL;
	uint32_t uid = 0;
	int r;

	r = sd_bus_message_read_strv(m, &names);
	for (char **n = names; r >= 0 && n && *n; n++)
		r = take_device(c->lease, *n, error);
	strv_free(names);
	if (r >= 0)
		r = read_options(m, c, error);
	if (r >= 0)
		r = check_consent(c->lease, error);
	if (r >= 0)
		r = settle_mode(c->lease, error);
	if (r >= 0 && streq(c->lease->name, "ask") && !c->interactive)
		r = sd_bus_error_set(error, E("NotPermitted"), "This rule asks for a password.");
	c->lease->owner = uid;
	return r;
}

static int method_acquire(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct claim *c = calloc(1, sizeof(*c));
	struct fake_lease *l = calloc(1, sizeof(*l));
	int r;

	c->lease = l;
	c->call = sd_bus_message_ref(m);
	snprintf(l->id, sizeof(l->id), "%u", next_id++);
	snprintf(l->path, sizeof(l->path), ROOT "/lease/%s", l->id);
	r = read_claim(m, c, error);
	if (r < 0) {
		sd_bus_message_unref(c->call);
		free(c);
		lease_free(l);
		return r;
	}
	if (sscanf(l->name, "drain-%u", &l->drain) != 1)
		l->drain = 0;
	l->fail = streq(l->name, "fail");
	r = start_claim(c);
	if (r > 0 || streq(l->state, "preparing"))
		return 1;
	r = finish_claim(c);
	sd_bus_message_unref(c->call);
	free(c);
	return r;
}

static int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_lease l = {};
	struct claim c = { .lease = &l };
	_cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
	bool refused = read_claim(m, &c, &e) < 0;
	const char *path = devices[4].path;

	if (l.lifeline) {
		sd_event_source_disable_unref(l.lifeline);
		return sd_bus_error_set(error, E("BadOption"), "Explain takes no lifeline.");
	}
	if (refused)
		return sd_bus_reply_method_return(
			m, "a{sv}", 6, "allowed", "b", 0, "reason", "s", "in-use", "error", "s",
			strrchr(e.name, '.') + 1, "message", "s", e.message, "rules", "a(os)", 1,
			path, "vm-nics", "passed", "a(sss)", 1, "0000:03:00.0", "gpus",
			"it matches other devices");
	return sd_bus_reply_method_return(
		m, "a{sv}", 7, "allowed", "b", 1, "reason", "s", "allowed", "mode", "s", l.mode,
		"rules", "a(os)", 1, path, "vm-nics", "plan", "a(oss)", 1, path, "grant", "e1000e",
		"passed", "a(sss)", 1, "0000:03:00.0", "gpus", "it matches other devices", "drawn",
		"a(sos)", 1, "nics", path, "on NUMA node 0");
}

/* --------------------------------------------------------------------------------- the manager */

static int method_find_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *name;
	int r = sd_bus_message_read(m, "s", &name);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(devices); i++)
		if (streq(devices[i].name, name))
			return sd_bus_reply_method_return(m, "o", devices[i].path);
	return sd_bus_error_setf(error, E("NoSuchDevice"), "There is no device %s.", name);
}

static int method_find_lease(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *name;
	int r = sd_bus_message_read(m, "s", &name);

	for (struct fake_lease *l = leases; r >= 0 && l; l = l->next)
		if (streq(l->id, name) || streq(l->name, name))
			return sd_bus_reply_method_return(m, "o", l->path);
	return sd_bus_error_setf(error, E("NoSuchLease"), "There is no lease %s.", name);
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	if (getenv("FAKE_BAD_POLICY"))
		return sd_bus_error_set(error, E("PolicyInvalid"),
					"/etc/vfiod/policy.d/10-a.json:3:14: unknown key \"x\"");
	serial++;
	sd_bus_emit_properties_changed(bus, ROOT, "org.vfiod1.Manager", "PolicySerial", NULL);
	return sd_bus_reply_method_return(m, "");
}

static int method_get_pools(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return sd_bus_reply_method_return(m, "a(sa(iuuuu))", 2, "nics", 2, -1, 1, 0, 0, 2, 0, 3, 1,
					  1, 0, "empty", 0);
}

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Acquire", "asa{sv}", "oh", method_acquire, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Explain", "asa{sv}", "a{sv}", method_explain, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("FindDevice", "s", "o", method_find_device, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("FindLease", "s", "o", method_find_lease, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("GetPools", "", "a(sa(iuuuu))", method_get_pools, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Reload", "", "", method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Version", "s", get_manager, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Features", "as", get_features, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("PolicyFiles", "as", get_manager, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("PolicySerial", "t", get_manager, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Draining", "b", get_manager, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Limits", "a{sv}", get_manager, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_VTABLE_END,
};
static const sd_bus_vtable iommu_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Name", "s", get_iommu, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Driver", "s", get_iommu, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Devices", "ao", get_iommu, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Groups", "ao", get_iommu, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Leases", "u", get_iommu, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("InUse", "b", get_iommu, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Capabilities", "a{sv}", get_iommu, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_VTABLE_END,
};
static const sd_bus_vtable group_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Id", "u", get_group, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Generation", "t", get_group, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Type", "s", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("State", "s", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Iommu", "o", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Devices", "ao", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Viable", "b", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Blockers", "a(os)", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Lease", "o", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Node", "s", get_group, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("ReservedRegions", "a(tts)", get_group, 0,
			SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_VTABLE_END,
};
static int method_get_uses(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct fake_device *d = userdata;

	return d->use ? sd_bus_reply_method_return(m, "as", 1, d->use)
		      : sd_bus_reply_method_return(m, "as", 0);
}

/* A function by itself, and nothing else. */
static int method_get_reset_domains(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *path = sd_bus_message_get_path(m);

	return sd_bus_reply_method_return(m, "a{sa(oo)}", 1, "function", 1, path, "/");
}

/*
 * FAKE_LIMITS=N: the first N calls are too many at once. FAKE_NO_DOMAIN=PART: of the device with
 * that in its path it cannot be told.
 */
static int method_get_reset_domain(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	static int refused;
	const char *limits = getenv("FAKE_LIMITS"), *path = sd_bus_message_get_path(m);

	if (limits && refused < atoi(limits)) {
		refused++;
		return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "ask again");
	}
	if (getenv("FAKE_NO_DOMAIN") && strstr(path, getenv("FAKE_NO_DOMAIN")))
		return sd_bus_error_set(error, SD_BUS_ERROR_FAILED, "no idea");
	/* The two NICs of one bus. */
	return strstr(path, "0000_02_0")
		       ? sd_bus_reply_method_return(m, "a(oo)", 2, devices[2].path, ROOT "/group/2",
						    devices[3].path, ROOT "/group/2")
		       : sd_bus_reply_method_return(m, "a(oo)", 1, path, "/");
}

static const sd_bus_vtable device_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("GetResetDomain", "", "a(oo)", method_get_reset_domain,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("GetResetDomains", "", "a{sa(oo)}", method_get_reset_domains,
		      SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("GetUses", "", "as", method_get_uses, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_PROPERTY("Name", "s", get_device, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Subsystem", "s", get_device, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Group", "o", get_device, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Iommu", "o", get_device, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("State", "s", get_device, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Driver", "s", get_device, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("SavedDriver", "s", get_device, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Vendor", "q", get_device, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Product", "q", get_device, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Model", "s", get_device, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Parent", "o", get_device, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
	SD_BUS_PROPERTY("Uses", "as", get_device, 0, 0),
	SD_BUS_VTABLE_END,
};

static int add_objects(void)
{
	int r;

	r = sd_bus_add_object_vtable(bus, NULL, ROOT, "org.vfiod1.Manager", manager_vtable, NULL);
	if (r >= 0)
		r = sd_bus_add_object_manager(bus, NULL, ROOT);
	if (r >= 0)
		r = sd_bus_add_object_vtable(bus, NULL, ROOT "/iommu/dmar0", "org.vfiod1.Iommu",
					     iommu_vtable, NULL);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(groups); i++)
		r = sd_bus_add_object_vtable(bus, NULL, groups[i].path, "org.vfiod1.Group",
					     group_vtable, &groups[i]);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(devices); i++)
		r = sd_bus_add_object_vtable(bus, NULL, devices[i].path, "org.vfiod1.Device",
					     device_vtable, &devices[i]);
	return r;
}

int main(void)
{
	int r;

	r = sd_event_default(&event);
	if (r >= 0)
		r = sd_bus_open_system(&bus);
	if (r >= 0)
		r = sd_bus_attach_event(bus, event, 0);
	if (r >= 0)
		r = add_objects();
	if (r >= 0)
		r = sd_bus_request_name(bus, "org.vfiod1", 0);
	if (r < 0) {
		fprintf(stderr, "fake-vfiod: %s\n", strerror(-r));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	r = sd_event_loop(event);
	return r < 0;
}
