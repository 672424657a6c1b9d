/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of netlink.h: two dumps, of addresses and of routes. */

#include "daemon/sysfs/netlink.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

/* A reply of rtnetlink fits 32 KiB (NLMSG_GOODSIZE and what it grows to). */
#define BUFFER_SIZE 65536
/* Uses of an interface that are listed; one would do to refuse. */
#define TEXT_MAX 16

struct query {
	unsigned int ifindex;
	char ***text;
	bool has_address;
};

typedef int (*message_fn)(const struct nlmsghdr *message, struct query *query);

static int open_socket(void)
{
	struct timeval timeout = { .tv_sec = 10 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return fd;
}

static int send_dump(int fd, uint16_t type, uint8_t family)
{
	struct {
		struct nlmsghdr header;
		union {
			struct ifaddrmsg address;
			struct rtmsg route;
		};
	} request = {
		.header = { .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
	};

	if (type == RTM_GETADDR) {
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.address));
		request.address.ifa_family = family;
	} else {
		request.header.nlmsg_len = NLMSG_LENGTH(sizeof(request.route));
		request.route.rtm_family = family;
	}
	return send(fd, &request, request.header.nlmsg_len, 0) < 0 ? -errno : 0;
}

/* 1: the dump is over; 0: there is more. */
static int take_messages(char *buffer, size_t size, message_fn fn, struct query *query)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)buffer;

	for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size)) {
		int r;

		if (message->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *error = NLMSG_DATA(message);

			if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
				return -EIO;
			return error->error < 0 ? error->error : -EIO;
		}
		/* The table changed under the dump: what was left out is not known. */
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			return -EAGAIN;
		if (message->nlmsg_type == NLMSG_DONE)
			return 1;
		r = fn(message, query);
		if (r < 0)
			return r;
	}
	return 0;
}

static int dump_once(uint16_t type, uint8_t family, message_fn fn, struct query *query)
{
	_cleanup_free_ char *buffer = malloc(BUFFER_SIZE);
	_cleanup_close_ int fd = open_socket();
	int r;

	if (!buffer)
		return -ENOMEM;
	if (fd < 0)
		return fd;
	r = send_dump(fd, type, family);
	while (r == 0) {
		ssize_t k = recv(fd, buffer, BUFFER_SIZE, MSG_TRUNC);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (k > BUFFER_SIZE)
			return -EMSGSIZE;
		r = take_messages(buffer, (size_t)k, fn, query);
	}
	return r < 0 ? r : 0;
}

/* A dump that was interrupted by a change is made again; what it said before stays said. */
static int dump(uint16_t type, uint8_t family, message_fn fn, struct query *query)
{
	int r = -EAGAIN;

	for (int tries = 0; tries < 8 && r == -EAGAIN; tries++)
		r = dump_once(type, family, fn, query);
	/* A kernel without IPv6 has no addresses of it. */
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r;
}

static int add_text(struct query *query, const char *prefix, const char *what)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "%s%s", prefix, what) < 0)
		return -ENOMEM;
	if (strv_contains(*query->text, text) || strv_length(*query->text) >= TEXT_MAX)
		return 0;
	return strv_extend(query->text, text);
}

/* 0.0.0.0 and :: have no bytes in a message. */
static void format_address(int family, const void *data, char *text, socklen_t size)
{
	static const unsigned char zero[16];

	if (!inet_ntop(family, data ?: zero, text, size))
		snprintf(text, size, "?");
}

static bool has_size(const struct rtattr *attr, int family)
{
	return RTA_PAYLOAD(attr) >= (family == AF_INET ? 4 : 16);
}

static bool is_link_local(const unsigned char *address)
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static int take_address(const struct nlmsghdr *message, struct query *query)
{
	const struct ifaddrmsg *ifa = NLMSG_DATA(message);
	const struct rtattr *attr = IFA_RTA(ifa), *found = NULL;
	size_t left = message->nlmsg_len - NLMSG_LENGTH(sizeof(*ifa));
	char text[INET6_ADDRSTRLEN];

	if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(*ifa)))
		return 0;
	if (ifa->ifa_index != query->ifindex ||
	    (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return 0;
	/* IFA_LOCAL is the own address of a point-to-point link, IFA_ADDRESS the other end's. */
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left))
		if (has_size(attr, ifa->ifa_family) &&
		    (attr->rta_type == IFA_LOCAL || (attr->rta_type == IFA_ADDRESS && !found)))
			found = attr;
	if (!found)
		return 0;
	if (ifa->ifa_family == AF_INET6 && is_link_local(RTA_DATA(found)))
		return 0;
	query->has_address = true;
	format_address(ifa->ifa_family, RTA_DATA(found), text, sizeof(text));
	return add_text(query, "has the address ", text);
}

static bool leads_over(const struct rtattr *attr, unsigned int ifindex)
{
	const struct rtnexthop *hop = RTA_DATA(attr);
	size_t left = RTA_PAYLOAD(attr);

	if (attr->rta_type == RTA_OIF)
		return left >= sizeof(unsigned int) && *(unsigned int *)RTA_DATA(attr) == ifindex;
	if (attr->rta_type != RTA_MULTIPATH)
		return false;
	while (left >= sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= left) {
		if ((unsigned int)hop->rtnh_ifindex == ifindex)
			return true;
		if ((size_t)RTNH_ALIGN(hop->rtnh_len) > left)
			return false;
		left -= RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	return false;
}

/* A route that the kernel made by itself for an interface that is merely up. */
static bool is_idle_route(const struct rtmsg *rtm, const unsigned char *destination,
			  const struct query *query)
{
	if (rtm->rtm_table == RT_TABLE_LOCAL || rtm->rtm_type != RTN_UNICAST ||
	    (rtm->rtm_flags & RTM_F_CLONED))
		return true;
	if (rtm->rtm_family == AF_INET6 && destination &&
	    (is_link_local(destination) || destination[0] == 0xff))
		return rtm->rtm_protocol == RTPROT_KERNEL || rtm->rtm_protocol == RTPROT_BOOT;
	/* The network of an address: the address has been told. */
	return rtm->rtm_protocol == RTPROT_KERNEL && query->has_address;
}

static int take_route(const struct nlmsghdr *message, struct query *query)
{
	const struct rtmsg *rtm = NLMSG_DATA(message);
	const struct rtattr *attr = RTM_RTA(rtm);
	size_t left = message->nlmsg_len - NLMSG_LENGTH(sizeof(*rtm));
	const unsigned char *destination = NULL;
	char text[INET6_ADDRSTRLEN + 4];
	bool ours = false;

	if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(*rtm)))
		return 0;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return 0;
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		ours = ours || leads_over(attr, query->ifindex);
		if (attr->rta_type == RTA_DST && has_size(attr, rtm->rtm_family))
			destination = RTA_DATA(attr);
	}
	if (!ours || is_idle_route(rtm, destination, query))
		return 0;
	if (rtm->rtm_dst_len == 0)
		return add_text(query, "has the default route", "");
	format_address(rtm->rtm_family, destination, text, INET6_ADDRSTRLEN);
	snprintf(text + strlen(text), 5, "/%u", rtm->rtm_dst_len);
	return add_text(query, "has the route to ", text);
}

int netlink_read_interface(const struct host *host, const char *name, unsigned int ifindex,
			   char ***text)
{
	struct query query = { .ifindex = ifindex, .text = text };
	int r = dump(RTM_GETADDR, AF_UNSPEC, take_address, &query);

	if (r >= 0)
		r = dump(RTM_GETROUTE, AF_INET, take_route, &query);
	if (r >= 0)
		r = dump(RTM_GETROUTE, AF_INET6, take_route, &query);
	return r;
}
