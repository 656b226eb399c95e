/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages of udev's monitor, byte for byte. They go into a socketpair of packets, which takes
 * no notice of the netlink address that they are sent to.
 */
#include "mirror.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sysfs/uevent.h"
#include "util/log.h"

/* As sd-device and libudev read it (libudev-monitor.c). */
struct monitor_header {
	char prefix[8];
	uint32_t magic;
	uint32_t header_size;
	uint32_t properties_off;
	uint32_t properties_len;
	uint32_t subsystem_hash;
	uint32_t devtype_hash;
	uint32_t tag_bloom_hi;
	uint32_t tag_bloom_lo;
};

struct stage {
	struct tree tree;
	struct uevent uevent;
	struct subject s;
	int ours;
	char data[8192];
	size_t len;
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	int pair[2];

	assert_non_null(stage);
	log_setup("test", LOG_CRIT);
	signal(SIGPIPE, SIG_IGN);
	tree_init(&stage->tree);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	stage->uevent.fd = pair[0];
	stage->ours = pair[1];
	stage->s = (struct subject){.tree = &stage->tree};
	stage->s.parent = mirror_put_parent(&stage->tree, "0000:86:00.0", "nvme", "nvme-1");
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	uevent_close(&stage->uevent);
	close(stage->ours);
	tree_done(&stage->tree);
	free(stage);
	return 0;
}

/* MurmurHash2 as its author wrote it for machines of any byte order: byte by byte. */
static uint32_t murmur(const char *key)
{
	const uint8_t *data = (const uint8_t *)key;
	size_t len = strlen(key);
	const uint32_t m = 1540483477;
	uint32_t h = (uint32_t)len;
	size_t i = 0;

	while (len - i >= 4) {
		uint32_t k = (uint32_t)data[i] + ((uint32_t)data[i + 1] << 8) +
			     ((uint32_t)data[i + 2] << 16) + ((uint32_t)data[i + 3] << 24);

		k = k * m;
		k = (k ^ (k / 16777216)) * m;
		h = (h * m) ^ k;
		i += 4;
	}
	for (size_t rest = len - i; rest > 0; rest--) {
		h ^= (uint32_t)data[i + rest - 1] << 8 * (rest - 1);
		if (rest == 1)
			h *= m;
	}
	h = (h ^ (h / 8192)) * m;
	return h ^ (h / 32768);
}

static const struct monitor_header *receive(struct stage *stage)
{
	ssize_t n = recv(stage->ours, stage->data, sizeof(stage->data), 0);
	const struct monitor_header *header = (const void *)stage->data;

	assert_true(n > (ssize_t)sizeof(*header));
	stage->len = (size_t)n;
	assert_memory_equal(header->prefix, "libudev", 8);
	assert_int_equal(ntohl(header->magic), 0xfeedcafe);
	assert_int_equal(sizeof(*header), 40);
	assert_int_equal(header->header_size, 40);
	assert_int_equal(header->properties_off, 40);
	assert_int_equal(header->properties_len, stage->len - 40);
	assert_int_equal(header->devtype_hash, 0);
	assert_int_equal(header->tag_bloom_hi, 0);
	assert_int_equal(header->tag_bloom_lo, 0);
	assert_int_equal(stage->data[stage->len - 1], '\0');
	return header;
}

/* The properties are exactly these, in this order, each with its NUL. */
static void expect(struct stage *stage, const char *const *properties)
{
	size_t at = 40;

	for (; *properties; properties++) {
		assert_true(at < stage->len);
		assert_string_equal(stage->data + at, *properties);
		at += strlen(*properties) + 1;
	}
	assert_int_equal(at, stage->len);
}

#define PCI_PATH "/devices/pci0000:86/0000:86:00.0"
#define PCI_OWN                                                                                    \
	"DRIVER=nvme", "PCI_CLASS=10802", "PCI_ID=1B36:0010", "PCI_SUBSYS_ID=1B36:0010",           \
		"PCI_SLOT_NAME=0000:86:00.0",                                                      \
		"MODALIAS=pci:v00001B36d00000010sv00001B36sd00000010bc01sc08i02"

static void test_parent(void **state)
{
	struct stage *stage = *state;
	const struct monitor_header *header;

	uevent_send(&stage->uevent, &stage->s, "add", NULL);
	header = receive(stage);
	assert_int_equal(ntohl(header->subsystem_hash), murmur("pci"));
	expect(stage, (const char *const[]){"ACTION=add", "DEVPATH=" PCI_PATH, "SUBSYSTEM=pci",
					    "SEQNUM=1", PCI_OWN, NULL});
	uevent_send(&stage->uevent, &stage->s, "change", "MDEV_STATE=registered");
	receive(stage);
	expect(stage, (const char *const[]){"ACTION=change", "DEVPATH=" PCI_PATH, "SUBSYSTEM=pci",
					    "SEQNUM=2", "MDEV_STATE=registered", PCI_OWN, NULL});
	stage->s.parent = mirror_put_parent(&stage->tree, "store", "nvme", "nvme-1");
	uevent_send(&stage->uevent, &stage->s, "remove", NULL);
	header = receive(stage);
	assert_int_equal(ntohl(header->subsystem_hash), murmur("mtty"));
	assert_string_equal(stage->data + 40 + strlen("ACTION=remove") + 1,
			    "DEVPATH=/devices/virtual/mtty/store");
}

static void test_mdev(void **state)
{
	struct stage *stage = *state;
	const struct monitor_header *header;

	stage->s.mdev = mirror_put_mdev(&stage->tree, MIRROR_A, "0000:86:00.0", "nvme-1", 1);
	stage->s.type = stage->s.mdev->type;
	uevent_send(&stage->uevent, &stage->s, "bind", NULL);
	header = receive(stage);
	assert_int_equal(ntohl(header->subsystem_hash), murmur("mdev"));
	expect(stage, (const char *const[]){"ACTION=bind", "DEVPATH=" PCI_PATH "/" MIRROR_A,
					    "SUBSYSTEM=mdev", "SEQNUM=1", "DRIVER=nvme", NULL});
}

/* What libudev 252 has in the filter that it gives the kernel for these words. */
static void test_hashes(void **state)
{
	(void)state;
	assert_int_equal(murmur("mdev"), 0xbb5211c7);
	assert_int_equal(murmur("pci"), 0x59163b92);
	assert_int_equal(murmur("mtty"), 0x79fb38c6);
}

/* Whatever goes wrong: a listener that is slow or gone is no reason to stop, a refusal is. */
static void test_refused(void **state)
{
	struct stage *stage = *state;
	unsigned sent = 0;

	/* Nobody reads: what does not fit is left out. */
	for (unsigned i = 0; i < 10000; i++)
		uevent_send(&stage->uevent, &stage->s, "change", NULL);
	assert_true(stage->uevent.fd >= 0);
	assert_int_equal(stage->uevent.number, 10000);
	while (recv(stage->ours, stage->data, sizeof(stage->data), 0) > 0)
		sent++;
	assert_true(sent > 0 && sent < 10000);
	uevent_send(&stage->uevent, &stage->s, "change", NULL);
	receive(stage);
	/* For good. */
	assert_int_equal(shutdown(stage->uevent.fd, SHUT_RDWR), 0);
	uevent_send(&stage->uevent, &stage->s, "change", NULL);
	assert_int_equal(stage->uevent.fd, -1);
	uevent_send(&stage->uevent, &stage->s, "change", NULL);
	assert_int_equal(stage->uevent.number, 10002);
}

static void test_open(void **state)
{
	struct uevent uevent;

	(void)state;
	uevent_open(&uevent, false);
	assert_int_equal(uevent.fd, -1);
	uevent_close(&uevent);
	uevent_open(&uevent, true);
	uevent_close(&uevent);
	assert_int_equal(uevent.fd, -1);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_parent),
		WITH(test_mdev),
		cmocka_unit_test(test_hashes),
		WITH(test_refused),
		cmocka_unit_test(test_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
