/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of udev's monitor. See uevent.h. */
#include "sysfs/uevent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "sysfs/attr.h"
#include "util/fd.h"
#include "util/log.h"

#define UEVENT_GROUP_UDEV 2u /* its first is the kernel's own */
#define UEVENT_MAGIC	  0xfeedcafeu
#define UEVENT_TEXT_MAX	  4096

/* What stands before the properties: the format of libudev's monitor since version 148. The hashes
 * are what monitors filter by, in the kernel; all are in network order. */
struct uevent_header {
	char prefix[8];
	uint32_t magic;
	uint32_t header_size;
	uint32_t properties_off;
	uint32_t properties_len;
	uint32_t filter_subsystem_hash;
	uint32_t filter_devtype_hash;
	uint32_t filter_tag_bloom_hi;
	uint32_t filter_tag_bloom_lo;
};

void uevent_open(struct uevent *uevent, bool wanted)
{
	uevent->number = 0;
	uevent->fd = wanted ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
				     NETLINK_KOBJECT_UEVENT)
			    : -1;
}

void uevent_close(struct uevent *uevent)
{
	fd_close(&uevent->fd);
}

/* MurmurHash2 (Austin Appleby, public domain algorithm), with the seed 0: what libudev filters
 * subsystems by. */
static uint32_t uevent_hash(const char *text)
{
	const uint32_t m = 0x5bd1e995u;
	size_t len = strlen(text);
	uint32_t hash = (uint32_t)len;

	for (; len >= 4; len -= 4, text += 4) {
		uint32_t k;

		memcpy(&k, text, 4);
		k *= m;
		k ^= k >> 24;
		k *= m;
		hash = hash * m ^ k;
	}
	if (len > 0) {
		uint32_t k = 0;

		memcpy(&k, text, len);
		hash = (hash ^ k) * m;
	}
	hash ^= hash >> 13;
	hash *= m;
	return hash ^ hash >> 15;
}

/* Adds a property and its NUL. */
static size_t uevent_put(char *text, size_t used, const char *format, const char *value)
	__attribute__((format(printf, 3, 0)));

static size_t uevent_put(char *text, size_t used, const char *format, const char *value)
{
	int n;

	if (used >= UEVENT_TEXT_MAX)
		return used;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* every caller's is a literal */
	n = snprintf(text + used, UEVENT_TEXT_MAX - used, format, value);
#pragma GCC diagnostic pop
	return n < 0 ? used : MIN(used + (size_t)n + 1, (size_t)UEVENT_TEXT_MAX);
}

static const char *uevent_subsystem(const struct subject *s)
{
	if (s->mdev)
		return "mdev";
	return s->parent->is_pci ? "pci" : "mtty";
}

static size_t uevent_print(const struct uevent *uevent, const struct subject *s, const char *action,
			   const char *extra, char text[UEVENT_TEXT_MAX])
{
	char path[TREE_PATH_MAX + TREE_UUID_SIZE];
	char number[24];
	char own[1024];
	size_t used = 0;
	int n;

	snprintf(path, sizeof(path), "%s%s%s", s->parent->path + strlen("sys"), s->mdev ? "/" : "",
		 s->mdev ? s->mdev->uuid : "");
	snprintf(number, sizeof(number), "%llu", (unsigned long long)uevent->number);
	used = uevent_put(text, used, "ACTION=%s", action);
	used = uevent_put(text, used, "DEVPATH=%s", path);
	used = uevent_put(text, used, "SUBSYSTEM=%s", uevent_subsystem(s));
	used = uevent_put(text, used, "SEQNUM=%s", number);
	if (extra)
		used = uevent_put(text, used, "%s", extra);
	n = attr_uevent_text(s, own, sizeof(own));
	/* Its lines become properties. */
	if (n > 0 && used + (size_t)n < UEVENT_TEXT_MAX) {
		memcpy(text + used, own, (size_t)n);
		for (char *c = text + used; c < text + used + n; c++) {
			if (*c == '\n')
				*c = '\0';
		}
		used += (size_t)n;
	}
	return used;
}

void uevent_send(struct uevent *uevent, const struct subject *s, const char *action,
		 const char *extra)
{
	char text[UEVENT_TEXT_MAX];
	struct uevent_header header = {
		.prefix = "libudev",
		.magic = htonl(UEVENT_MAGIC),
		.header_size = sizeof(header),
		.properties_off = sizeof(header),
	};
	struct iovec parts[] = {{&header, sizeof(header)}, {text, 0}};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP_UDEV};
	struct msghdr message = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = parts, .msg_iovlen = 2};

	if (uevent->fd < 0)
		return;
	uevent->number++;
	parts[1].iov_len = uevent_print(uevent, s, action, extra, text);
	header.properties_len = (uint32_t)parts[1].iov_len;
	header.filter_subsystem_hash = htonl(uevent_hash(uevent_subsystem(s)));
	/* Nobody listening is no failure. */
	if (sendmsg(uevent->fd, &message, 0) >= 0 || errno == ECONNREFUSED || errno == EAGAIN ||
	    errno == ENOBUFS)
		return;
	umdev_log(LOG_INFO, "umdev-sysfs", "tree.uevent",
		  "udev's listeners are not told of devices: %s", strerror(errno));
	uevent_close(uevent);
}
