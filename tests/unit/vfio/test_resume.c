/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server is killed while it serves a request, at each border of a system call that it makes and
 * so many instructions after it, and every second time its successor is killed while it takes over.
 * The client gets exactly one right reply to each request, every effect happens once, and
 * descriptors reach those they are for.
 *
 * UMDEV_TEST_KILLS   how often at each border of a system call (3)
 * UMDEV_TEST_SEED    of the random numbers
 */
#include "mortal.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/fd.h"

/* How many instructions a server goes on after a system call before it is killed, at most; what a
 * session does between two calls is mostly less. */
#define STEPS 512u
/* Borders of system calls that a server passes while it takes over. */
#define RESUME_STOPS 40u

/* One whom nobody sends messages. */
#define VERSION                                                                                    \
	"\0\0\1\0{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true,"                   \
	"\"max_data_xfer_size\":1048576}}"

struct subject {
	struct mortal *m;
	int memory;
	uint64_t *mapped;
	int event;
	uint64_t writes; /* that must have happened */
	uint64_t reads;
	unsigned kills;
	uint32_t random;
};

static uint32_t next_random(struct subject *t)
{
	t->random = t->random * 1664525u + 1013904223u;
	return t->random >> 8;
}

/* One request: how it is sent, and what must have come of it. */
struct kind {
	const char *name;
	void (*prepare)(struct subject *t); /* with a server that runs */
	uint16_t (*send)(struct subject *t);
	void (*finish)(struct subject *t, uint16_t id);
	void (*undo)(struct subject *t);
};

/* ---- Requests ---- */

static uint16_t send_access(struct subject *t, uint16_t command, uint32_t flags, uint64_t offset,
			    uint64_t value)
{
	struct {
		struct wire_region_access access;
		uint64_t value;
	} request = {{offset, 0, sizeof(value)}, value};

	return mortal_send(t->m, command, flags, &request,
			   command == WIRE_REGION_READ ? sizeof(request.access) : sizeof(request),
			   -1);
}

static void write_now(struct subject *t, uint64_t offset, uint64_t value)
{
	struct wire_region_access reply;

	mortal_receive(t->m, send_access(t, WIRE_REGION_WRITE, 0, offset, value), &reply,
		       sizeof(reply), NULL);
	t->writes++;
}

/* The stream is in step: a reply too many would show. */
static void check_device(struct subject *t)
{
	struct {
		struct wire_region_access access;
		uint64_t value;
	} reply;

	assert_int_equal(mortal_receive(t->m, send_access(t, WIRE_REGION_READ, 0, MORTAL_COUNT, 0),
					&reply, sizeof(reply), NULL),
			 sizeof(reply));
	assert_int_equal(reply.value, ++t->reads);
	assert_int_equal(mortal_state(t->m)->writes, t->writes);
	assert_int_equal(t->m->shared->lost, 0);
	assert_int_equal(t->m->shared->refused, 0);
}

static uint16_t write_send(struct subject *t)
{
	return send_access(t, WIRE_REGION_WRITE, 0, MORTAL_DATA, ++t->writes);
}

static void write_finish(struct subject *t, uint16_t id)
{
	struct wire_region_access reply;

	assert_int_equal(mortal_receive(t->m, id, &reply, sizeof(reply), NULL), sizeof(reply));
	assert_int_equal(mortal_state(t->m)->last_written, t->writes);
}

/* Two in a row that want no reply. */
static uint16_t posted_send(struct subject *t)
{
	send_access(t, WIRE_REGION_WRITE, WIRE_FLAG_NO_REPLY, MORTAL_DATA, ++t->writes);
	return send_access(t, WIRE_REGION_WRITE, WIRE_FLAG_NO_REPLY, MORTAL_DATA, ++t->writes);
}

static void posted_finish(struct subject *t, uint16_t id)
{
}

static uint16_t read_send(struct subject *t)
{
	return send_access(t, WIRE_REGION_READ, 0, MORTAL_COUNT, 0);
}

static void read_finish(struct subject *t, uint16_t id)
{
	struct {
		struct wire_region_access access;
		uint64_t value;
	} reply;

	assert_int_equal(mortal_receive(t->m, id, &reply, sizeof(reply), NULL), sizeof(reply));
	assert_int_equal(reply.value, ++t->reads);
}

static uint16_t multi_send(struct subject *t)
{
	struct {
		uint64_t count;
		struct wire_multi_entry entries[5];
	} request = {.count = 5};

	for (int i = 0; i < 5; i++) {
		request.entries[i] = (struct wire_multi_entry){MORTAL_DATA, 0, 8, {0}};
		t->writes++;
		memcpy(request.entries[i].data, &t->writes, 8);
	}
	return mortal_send(t->m, WIRE_REGION_WRITE_MULTI, 0, &request, sizeof(request), -1);
}

static void multi_finish(struct subject *t, uint16_t id)
{
	uint64_t count;

	assert_int_equal(mortal_receive(t->m, id, &count, sizeof(count), NULL), sizeof(count));
	assert_int_equal(count, 5);
	assert_int_equal(mortal_state(t->m)->last_written, t->writes);
}

static uint16_t map_send(struct subject *t)
{
	struct wire_dma_map map = {.argsz = sizeof(map),
				   .flags = WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE,
				   .addr = MORTAL_IOVA,
				   .size = 0x1000};

	return mortal_send(t->m, WIRE_DMA_MAP, 0, &map, sizeof(map), t->memory);
}

static void map_finish(struct subject *t, uint16_t id)
{
	uint8_t none;

	assert_int_equal(mortal_receive(t->m, id, &none, 0, NULL), 0);
	*t->mapped = 0;
	write_now(t, MORTAL_COPY, 0x1234567 + t->kills);
	assert_int_equal(*t->mapped, 0x1234567 + t->kills);
}

static uint16_t unmap_send(struct subject *t)
{
	struct wire_dma_unmap unmap = {.argsz = sizeof(unmap), .addr = MORTAL_IOVA, .size = 0x1000};

	return mortal_send(t->m, WIRE_DMA_UNMAP, 0, &unmap, sizeof(unmap), -1);
}

static void unmap_finish(struct subject *t, uint16_t id)
{
	struct wire_dma_unmap reply;

	assert_int_equal(mortal_receive(t->m, id, &reply, sizeof(reply), NULL), sizeof(reply));
	assert_int_equal(reply.addr, MORTAL_IOVA);
}

static void map_now(struct subject *t)
{
	map_finish(t, map_send(t));
}

static void unmap_now(struct subject *t)
{
	unmap_finish(t, unmap_send(t));
}

static uint16_t assign_send(struct subject *t)
{
	struct wire_set_irqs irqs = {sizeof(irqs), WIRE_IRQ_DATA_FDS | WIRE_IRQ_ACTION_TRIGGER,
				     VFIO_IRQ_MSIX, 1, 1};

	return mortal_send(t->m, WIRE_SET_IRQS, 0, &irqs, sizeof(irqs), t->event);
}

static bool event_came(struct subject *t)
{
	struct pollfd p = {.fd = t->event, .events = POLLIN};
	uint64_t count;

	return poll(&p, 1, 0) > 0 && read(t->event, &count, sizeof(count)) == sizeof(count);
}

static void assign_finish(struct subject *t, uint16_t id)
{
	uint8_t none;

	assert_int_equal(mortal_receive(t->m, id, &none, 0, NULL), 0);
	(void)event_came(t);
	write_now(t, MORTAL_SIGNAL, 1);
	assert_true(event_came(t));
}

static uint16_t unassign_send(struct subject *t)
{
	struct wire_set_irqs irqs = {sizeof(irqs), WIRE_IRQ_DATA_NONE | WIRE_IRQ_ACTION_TRIGGER,
				     VFIO_IRQ_MSIX, 0, 0};

	return mortal_send(t->m, WIRE_SET_IRQS, 0, &irqs, sizeof(irqs), -1);
}

static void unassign_finish(struct subject *t, uint16_t id)
{
	uint8_t none;

	assert_int_equal(mortal_receive(t->m, id, &none, 0, NULL), 0);
	(void)event_came(t);
	write_now(t, MORTAL_SIGNAL, 1);
	assert_false(event_came(t));
}

static void assign_now(struct subject *t)
{
	assign_finish(t, assign_send(t));
}

static void unassign_now(struct subject *t)
{
	unassign_finish(t, unassign_send(t));
}

static uint16_t info_send(struct subject *t)
{
	struct wire_region_info info = {.argsz = 4096, .index = 0};

	return mortal_send(t->m, WIRE_GET_REGION_INFO, 0, &info, sizeof(info), -1);
}

static void info_finish(struct subject *t, uint16_t id)
{
	struct wire_region_info info = {0};
	uint8_t reply[256];
	int fd;

	assert_true(mortal_receive(t->m, id, reply, sizeof(reply), &fd) > sizeof(info));
	memcpy(&info, reply, sizeof(info));
	assert_int_equal(info.size, MORTAL_BAR_SIZE);
	assert_true(fd >= 0);
	close(fd);
}

static uint16_t reset_send(struct subject *t)
{
	t->m->shared->resets = 0;
	return mortal_send(t->m, WIRE_DEVICE_RESET, 0, NULL, 0, -1);
}

static void reset_finish(struct subject *t, uint16_t id)
{
	uint8_t none;

	assert_int_equal(mortal_receive(t->m, id, &none, 0, NULL), 0);
	assert_true(t->m->shared->resets > 0);
}

/* A write in three pieces, of which two have come when the server dies. */
static uint8_t pieces[32];

static uint16_t pieces_send(struct subject *t)
{
	struct wire_header header = {
		.id = t->m->next_id++, .command = WIRE_REGION_WRITE, .size = sizeof(pieces) + 8};
	struct wire_region_access access = {MORTAL_DATA, 0, 8};

	memcpy(pieces, &header, sizeof(header));
	memcpy(pieces + sizeof(header), &access, sizeof(access));
	assert_int_equal(fd_send(t->m->client, pieces, 7, NULL, 0), 7);
	return header.id;
}

static void pieces_finish(struct subject *t, uint16_t id)
{
	t->writes++;
	usleep(100);
	assert_int_equal(fd_send(t->m->client, pieces + 7, 20, NULL, 0), 20);
	usleep(100);
	assert_int_equal(fd_send(t->m->client, pieces + 27, 5, NULL, 0), 5);
	assert_int_equal(fd_send(t->m->client, &t->writes, 8, NULL, 0), 8);
	write_finish(t, id);
}

static void version_prepare(struct subject *t)
{
	mortal_connect(t->m);
	/* That the client before left is no loss. */
	t->m->shared->lost = 0;
}

static uint16_t version_send(struct subject *t)
{
	return mortal_send(t->m, WIRE_VERSION, 0, VERSION, sizeof(VERSION), -1);
}

static void version_finish(struct subject *t, uint16_t id)
{
	uint8_t reply[512];

	assert_true(mortal_receive(t->m, id, reply, sizeof(reply), NULL) > 4);
	assert_true(t->m->shared->joined > 0);
	t->m->shared->joined = 0;
}

static const struct kind kinds[] = {
	{"VERSION", version_prepare, version_send, version_finish, NULL},
	{"REGION_WRITE", NULL, write_send, write_finish, NULL},
	{"REGION_WRITE posted", NULL, posted_send, posted_finish, NULL},
	{"REGION_READ", NULL, read_send, read_finish, NULL},
	{"REGION_WRITE_MULTI", NULL, multi_send, multi_finish, NULL},
	{"DMA_MAP", NULL, map_send, map_finish, unmap_now},
	{"DMA_UNMAP", map_now, unmap_send, unmap_finish, NULL},
	{"SET_IRQS assign", NULL, assign_send, assign_finish, unassign_now},
	{"SET_IRQS disable", assign_now, unassign_send, unassign_finish, NULL},
	{"GET_REGION_INFO", NULL, info_send, info_finish, NULL},
	{"DEVICE_RESET", NULL, reset_send, reset_finish, NULL},
	{"in pieces", NULL, pieces_send, pieces_finish, NULL},
};

/* ---- Killing ---- */

static void subject_init(struct subject *t, struct mortal *m)
{
	const char *seed = getenv("UMDEV_TEST_SEED");

	*t = (struct subject){.m = m, .random = seed ? (uint32_t)strtoul(seed, NULL, 0) : 1};
	t->memory = fd_memfd("mortal-memory", 0x1000);
	t->mapped = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, t->memory, 0);
	t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(t->memory >= 0 && t->mapped != MAP_FAILED && t->event >= 0);
}

static void subject_done(struct subject *t)
{
	munmap(t->mapped, 0x1000);
	close(t->memory);
	close(t->event);
}

/* Serves one request of @kind by a server that dies @count instructions after passing @stops
 * borders of system calls. Returns false when it was through before. */
static bool kill_once(struct subject *t, const struct kind *kind, unsigned stops, unsigned count)
{
	struct mortal *m = t->m;
	bool died;
	uint16_t id;

	if (kind->prepare) {
		mortal_run(m);
		kind->prepare(t);
		mortal_kill(m);
	}
	mortal_hold(m, false);
	id = kind->send(t);
	died = mortal_step(m, stops, count);
	mortal_kill(m);
	if (next_random(t) % 2) {
		mortal_hold(m, true);
		(void)mortal_step(m, next_random(t) % RESUME_STOPS, next_random(t) % STEPS);
		mortal_kill(m);
	}
	t->kills++;
	mortal_run(m);
	kind->finish(t, id);
	check_device(t);
	if (kind->undo)
		kind->undo(t);
	mortal_kill(m);
	return died;
}

static void kill_everywhere(struct subject *t, const struct kind *kind)
{
	const char *text = getenv("UMDEV_TEST_KILLS");
	unsigned times = text ? (unsigned)strtoul(text, NULL, 0) : 3;
	unsigned before = t->kills;
	unsigned stops = 0;

	while (kill_once(t, kind, stops, 0)) {
		for (unsigned i = 1; i < times; i++)
			(void)kill_once(t, kind, stops, next_random(t) % STEPS);
		stops++;
	}
	print_message("%s: %u kills, %u borders of system calls\n", kind->name, t->kills - before,
		      stops);
}

static void test_any_instruction(void **state)
{
	struct mortal *m = *state;
	struct subject t;

	subject_init(&t, m);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		kill_everywhere(&t, &kinds[i]);
	/* The connection, and nothing else: what was taken back is not kept. */
	assert_int_equal(m->kept_count, 1);
	assert_int_equal(m->kept[0].slot, VFIO_SLOT_CONNECTION);
	subject_done(&t);
}

/* One connects and says VERSION while the server dies after @stops borders of system calls. Returns
 * false when it was through before. */
static bool kill_connecting(struct subject *t, unsigned stops, unsigned *lost)
{
	struct mortal *m = t->m;
	size_t kept;
	bool died;
	uint16_t id;

	mortal_hold(m, false);
	mortal_dial(m);
	id = version_send(t);
	died = mortal_step(m, stops, 0);
	mortal_kill(m);
	kept = m->kept_count;
	/* The next ones may die, too, once it is kept, but not so many that it is held against the
	 * client. */
	for (unsigned i = 0; kept > 0 && i < stops % 3 && m->page->tries < VFIO_TRIES_MAX - 1;
	     i++) {
		mortal_hold(m, true);
		(void)mortal_step(m, next_random(t) % RESUME_STOPS, next_random(t) % STEPS);
		mortal_kill(m);
	}
	mortal_run(m);
	if (mortal_answers(m)) {
		version_finish(t, id);
	} else {
		assert_int_equal(kept, 0);
		*lost += 1;
	}
	mortal_leave(m);
	mortal_kill(m);
	return died;
}

/* Whoever connects is served, unless the server died between accepting and the next system call,
 * which has the connection kept. And nothing that was hung up on is taken for one who has come. */
static void test_while_connecting(void **state)
{
	struct mortal *m = *state;
	struct subject t;
	unsigned lost = 0;
	unsigned stops = 0;

	subject_init(&t, m);
	while (kill_connecting(&t, stops, &lost))
		stops++;
	print_message("connecting: %u borders of system calls, lost at %u\n", stops, lost);
	assert_in_range(stops, 10, 1000);
	assert_in_range(lost, 0, 2); /* back from the one, and on the way into the other */
	assert_int_equal(m->shared->refused, 0);
	subject_done(&t);
}

/* What became of those who connected while the client before them left. */
struct fates {
	unsigned served;
	unsigned waiting; /* of these, when the server died */
	unsigned refused;
	unsigned lost;
};

static bool is_kept(const struct mortal *m, uint32_t slot)
{
	for (size_t i = 0; i < m->kept_count; i++) {
		if (m->kept[i].slot == slot)
			return true;
	}
	return false;
}

/* Another connects, the client hangs up when the server has passed @before borders of system calls,
 * and it dies after @after more. Returns false when it was through before; *@ret_early tells
 * whether it had something to do when the client hung up. */
static bool kill_succeeding(struct subject *t, unsigned before, unsigned after, struct fates *fates,
			    bool *ret_early)
{
	struct mortal *m = t->m;
	bool waiting;
	bool died;
	uint16_t id;
	int first;

	m->shared->refused = 0;
	mortal_run(m);
	version_prepare(t);
	version_finish(t, version_send(t));
	mortal_kill(m);
	mortal_hold(m, false);
	first = m->client;
	m->client = -1;
	mortal_dial(m);
	id = version_send(t);
	*ret_early = mortal_step(m, before, 0);
	close(first);
	died = mortal_step(m, after, 0);
	mortal_kill(m);
	waiting = is_kept(m, VFIO_SLOT_NEXT);
	mortal_run(m);
	if (mortal_answers(m)) {
		version_finish(t, id);
		fates->served++;
		fates->waiting += waiting;
	} else {
		assert_false(waiting);
		fates->refused += m->shared->refused;
		fates->lost += !m->shared->refused;
	}
	mortal_leave(m);
	mortal_kill(m);
	return died;
}

/* Whoever connects while the client leaves waits, also for a server that goes on. */
static void test_while_succeeding(void **state)
{
	struct mortal *m = *state;
	struct subject t;
	struct fates fates = {0};
	bool early = true;

	subject_init(&t, m);
	for (unsigned before = 0; early; before++) {
		unsigned after = 0;
		unsigned lost = fates.lost;

		while (kill_succeeding(&t, before, after, &fates, &early))
			after++;
		assert_in_range(before + after, 4, 200);
		/* Those that were accepted, and could not be kept before the death. */
		assert_in_range(fates.lost - lost, 0, 4);
	}
	print_message("succeeding: %u served, %u of them had waited, %u turned away, %u lost\n",
		      fates.served, fates.waiting, fates.refused, fates.lost);
	assert_true(fates.waiting > 10 && fates.refused > 0);
	subject_done(&t);
}

/* A page that lacks a descriptor costs the client, and the next one is served. */
static void test_lost_descriptor(void **state)
{
	struct mortal *m = *state;
	struct subject t;

	subject_init(&t, m);
	mortal_run(m);
	version_prepare(&t);
	version_finish(&t, version_send(&t));
	map_now(&t);
	mortal_kill(m);
	for (size_t i = 0; i < m->kept_count; i++) {
		if (m->kept[i].slot != VFIO_SLOT_MEMORY)
			continue;
		close(m->kept[i].fd);
		m->kept[i] = m->kept[--m->kept_count];
	}
	mortal_run(m);
	version_prepare(&t);
	version_finish(&t, version_send(&t));
	check_device(&t);
	map_now(&t);
	subject_done(&t);
}

/* A client that left while there was no server has left. */
static void test_left_meanwhile(void **state)
{
	struct mortal *m = *state;
	struct subject t;

	subject_init(&t, m);
	mortal_run(m);
	version_prepare(&t);
	version_finish(&t, version_send(&t));
	map_now(&t);
	mortal_kill(m);
	close(m->client);
	m->client = -1;
	mortal_run(m);
	version_prepare(&t);
	version_finish(&t, version_send(&t));
	check_device(&t);
	subject_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_any_instruction, mortal_setup,
						mortal_teardown),
		cmocka_unit_test_setup_teardown(test_lost_descriptor, mortal_setup,
						mortal_teardown),
		cmocka_unit_test_setup_teardown(test_left_meanwhile, mortal_setup, mortal_teardown),
		cmocka_unit_test_setup_teardown(test_while_connecting, mortal_setup,
						mortal_teardown),
		cmocka_unit_test_setup_teardown(test_while_succeeding, mortal_setup,
						mortal_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
