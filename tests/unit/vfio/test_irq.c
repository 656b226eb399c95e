/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: every form of SET_IRQS, signals, and the INTx level protocol. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"

#include "harness.h"

#define NONE	WIRE_IRQ_DATA_NONE
#define BOOL	WIRE_IRQ_DATA_BOOL
#define FDS	WIRE_IRQ_DATA_FDS
#define MASK	WIRE_IRQ_ACTION_MASK
#define UNMASK	WIRE_IRQ_ACTION_UNMASK
#define TRIGGER WIRE_IRQ_ACTION_TRIGGER

static uint32_t slot(uint32_t index, uint32_t vector)
{
	return VFIO_SLOT_IRQ + (index << 12) + vector;
}

static void test_info(void **state)
{
	struct fixture *fx = *state;
	static const struct {
		uint32_t flags;
		uint32_t count;
	} expect[VFIO_IRQ_COUNT] = {{7, 1}, {1, 32}, {1, 2048}, {1, 1}, {1, 1}};
	struct wire_irq_info info = {.argsz = 16};
	struct wire_irq_info reply;

	client_join_qemu(fx);
	for (uint32_t i = 0; i < VFIO_IRQ_COUNT; i++) {
		info.index = i;
		assert_int_equal(client_call(fx, WIRE_GET_IRQ_INFO, BODY(&info, 16), &reply,
					     sizeof(reply), NULL),
				 0);
		assert_int_equal(reply.argsz, 16);
		assert_int_equal(reply.index, i);
		assert_int_equal(reply.flags, expect[i].flags);
		assert_int_equal(reply.count, expect[i].count);
	}
	info.index = VFIO_IRQ_COUNT;
	assert_int_equal(client_call(fx, WIRE_GET_IRQ_INFO, BODY(&info, 16), NULL, 0, NULL),
			 EINVAL);
	info.index = 0;
	assert_int_equal(client_call(fx, WIRE_GET_IRQ_INFO, BODY(&info, 15), NULL, 0, NULL),
			 EINVAL);
}

/* The sequence of QEMU: enable without a vector, vectors one by one, again after unmask, off. */
static void test_msix(void **state)
{
	struct fixture *fx = *state;
	int a = event_new();
	int b = event_new();

	client_join_qemu(fx);
	assert_int_equal(client_irqs(fx, IRQS(NONE | TRIGGER, VFIO_IRQ_INTX, 0, 0), NULL, 0), 0);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 0, 1), NULL, 0), 0);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 0, 1), &a, 1), 0);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 2047, 1), &b, 1), 0);
	assert_false(fx->reply_seen_before_keep);
	assert_true(fx->kept[slot(VFIO_IRQ_MSIX, 2047)]);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 0);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 2047);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 2047);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 5);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 2048);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSI, 0);
	vfio_irq_signal(fx->session, VFIO_IRQ_COUNT, 0);
	assert_int_equal(event_take(a), 1);
	assert_int_equal(event_take(b), 2);
	/* another eventfd for the same vector */
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 0, 1), &b, 1), 0);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 0);
	assert_int_equal(event_take(a), 0);
	assert_int_equal(event_take(b), 1);
	/* take one back, then all */
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 0, 1), NULL, 0), 0);
	assert_false(fx->kept[slot(VFIO_IRQ_MSIX, 0)]);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 0);
	assert_int_equal(event_take(b), 0);
	assert_int_equal(client_irqs(fx, IRQS(NONE | TRIGGER, VFIO_IRQ_MSIX, 0, 0), NULL, 0), 0);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSIX, 2047);
	assert_int_equal(event_take(b), 0);
	assert_int_equal(fx->kept_count, 1);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	close(a);
	close(b);
}

static void test_msi_all_at_once(void **state)
{
	struct fixture *fx = *state;
	int fds[32];

	for (int i = 0; i < 32; i++)
		fds[i] = event_new();
	client_join_qemu(fx);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSI, 0, 32), fds, 32), 0);
	for (uint32_t i = 0; i < 32; i++) {
		vfio_irq_signal(fx->session, VFIO_IRQ_MSI, i);
		for (uint32_t j = 0; j < 32; j++)
			assert_int_equal(event_take(fds[j]), i == j);
	}
	/* a part of them: from the start given, as many as said */
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSI, 30, 2), NULL, 0), 0);
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(fx->kept[slot(VFIO_IRQ_MSI, i)], i < 30);
	client_leave(fx);
	assert_int_equal(fx->kept_count, 0);
	for (int i = 0; i < 32; i++)
		close(fds[i]);
}

/* 64 descriptors in one message, and one more. */
static void test_many_fds(void **state)
{
	struct fixture *fx = *state;
	int fds[WIRE_FDS_MAX + 1];
	int before;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = event_new();
	client_join_qemu(fx);
	before = count_open_fds();
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 0, WIRE_FDS_MAX), fds,
				     WIRE_FDS_MAX),
			 0);
	assert_int_equal(count_open_fds(), before + (int)WIRE_FDS_MAX);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 100, WIRE_FDS_MAX + 1),
				     fds, WIRE_FDS_MAX + 1),
			 EINVAL);
	assert_int_equal(count_open_fds(), before + (int)WIRE_FDS_MAX);
	assert_int_equal(client_irqs(fx, IRQS(NONE | TRIGGER, VFIO_IRQ_MSIX, 0, 0), NULL, 0), 0);
	assert_int_equal(count_open_fds(), before);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void test_refusals(void **state)
{
	struct fixture *fx = *state;
	int fds[2] = {event_new(), event_new()};
	int pipes[2];
	int before;
	struct wire_set_irqs irqs = {20, FDS | TRIGGER, VFIO_IRQ_MSIX, 0, 1};
	static const struct {
		uint32_t flags;
		uint32_t index;
		uint32_t start;
		uint32_t count;
		uint32_t nfds;
		int error;
	} bad[] = {
		{FDS | TRIGGER, 5, 0, 1, 1, EINVAL},
		{FDS | TRIGGER, UINT32_MAX, 0, 1, 1, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, 32, 1, 1, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, 31, 2, 2, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, 31, 2, 0, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, UINT32_MAX, 2, 2, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, 1, UINT32_MAX, 0, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, 0, 2, 1, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, 0, 1, 2, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_MSI, 0, 0, 0, EINVAL},
		{NONE | TRIGGER, VFIO_IRQ_MSI, 0, 1, 1, EINVAL},
		{NONE | TRIGGER, VFIO_IRQ_MSI, 1, 0, 0, EINVAL},
		{NONE | UNMASK, VFIO_IRQ_INTX, 0, 0, 0, EINVAL},
		{NONE | BOOL | TRIGGER, VFIO_IRQ_MSI, 0, 1, 0, EINVAL},
		{NONE, VFIO_IRQ_MSI, 0, 1, 0, EINVAL},
		{TRIGGER, VFIO_IRQ_MSI, 0, 1, 0, EINVAL},
		{NONE | TRIGGER | MASK, VFIO_IRQ_MSI, 0, 1, 0, EINVAL},
		{NONE | TRIGGER | 0x40, VFIO_IRQ_MSI, 0, 1, 0, EINVAL},
		{BOOL | TRIGGER, VFIO_IRQ_MSI, 0, 1, 0, EINVAL}, /* without its byte */
		{NONE | MASK, VFIO_IRQ_MSI, 0, 1, 0, ENOTTY},
		{NONE | UNMASK, VFIO_IRQ_MSIX, 0, 1, 0, ENOTTY},
		{FDS | MASK, VFIO_IRQ_INTX, 0, 1, 1, ENOTTY},
		{NONE | MASK, VFIO_IRQ_INTX, 1, 1, 0, EINVAL},
		{FDS | TRIGGER, VFIO_IRQ_INTX, 0, 2, 2, EINVAL},
	};

	client_join_qemu(fx);
	before = count_open_fds();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(
			client_irqs(fx,
				    IRQS(bad[i].flags, bad[i].index, bad[i].start, bad[i].count),
				    fds, bad[i].nfds),
			bad[i].error);
	for (size_t len = 0; len < sizeof(irqs); len++)
		assert_int_equal(client_call(fx, WIRE_SET_IRQS, BODY_FDS(&irqs, len, fds, 1), NULL,
					     0, NULL),
				 EINVAL);
	irqs.argsz = 19;
	assert_int_equal(client_call(fx, WIRE_SET_IRQS, BODY_FDS(&irqs, 20, fds, 1), NULL, 0, NULL),
			 EINVAL);
	/* what could fill up and block is no eventfd */
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSIX, 0, 1), &pipes[1], 1),
			 EINVAL);
	assert_int_equal(count_open_fds(), before + 2);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(fx->kept_count, 1);
	assert_int_equal(fx->page->irqs_used[VFIO_IRQ_MSIX], 0);
	close(fds[0]);
	close(fds[1]);
}

/* All of a message's descriptors, or none. */
static void test_not_kept(void **state)
{
	struct fixture *fx = *state;
	int fds[3] = {event_new(), event_new(), event_new()};

	client_join_qemu(fx);
	fx->keep_fails_at = fx->keeps + 3;
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSI, 4, 3), fds, 3), ENOBUFS);
	assert_int_equal(fx->kept_count, 1);
	vfio_irq_signal(fx->session, VFIO_IRQ_MSI, 4);
	assert_int_equal(event_take(fds[0]), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* The client fires vectors itself. */
static void test_loopback(void **state)
{
	struct fixture *fx = *state;
	int fds[3] = {event_new(), event_new(), event_new()};
	uint8_t body[sizeof(struct wire_set_irqs) + 3];
	struct wire_set_irqs irqs = {sizeof(irqs), BOOL | TRIGGER, VFIO_IRQ_MSI, 1, 3};

	client_join_qemu(fx);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_MSI, 1, 3), fds, 3), 0);
	assert_int_equal(client_irqs(fx, IRQS(NONE | TRIGGER, VFIO_IRQ_MSI, 1, 2), NULL, 0), 0);
	assert_int_equal(event_take(fds[0]), 1);
	assert_int_equal(event_take(fds[1]), 1);
	assert_int_equal(event_take(fds[2]), 0);
	memcpy(body, &irqs, sizeof(irqs));
	memcpy(body + sizeof(irqs), "\1\0\1", 3);
	assert_int_equal(client_call(fx, WIRE_SET_IRQS, BODY(body, sizeof(body)), NULL, 0, NULL),
			 0);
	assert_int_equal(event_take(fds[0]), 1);
	assert_int_equal(event_take(fds[1]), 0);
	assert_int_equal(event_take(fds[2]), 1);
	assert_int_equal(client_call(fx, WIRE_SET_IRQS, BODY(body, sizeof(body) - 1), NULL, 0,
				     NULL),
			 EINVAL);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

/* Whether the process has a context of asynchronous I/O, which makes it slow to end. */
static bool has_async(void)
{
	umdev_autofclose FILE *maps = fopen("/proc/self/maps", "re");
	char line[256];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		if (strstr(line, "/[aio]"))
			return true;
	}
	return false;
}

/* Sleeps for three ticks of the timer that watches signals. Returns whether one came. */
static bool is_ticking(void)
{
	struct timespec time = {.tv_nsec = 30 * 1000 * 1000};

	return nanosleep(&time, NULL) < 0;
}

/* The first of all tests, since a process that was made to wait signals in another way. */
static void test_watch_stops(void **state)
{
	struct fixture *fx = *state;
	int fd = event_new();
	unsigned signals = 0;

	client_join_qemu(fx);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_ERR, 0, 1), &fd, 1), 0);
	for (unsigned round = 0; round < 3; round++) {
		unsigned ticks = 0;

		/* On a busy machine the tick may be over before the sleep begins. */
		do {
			assert_true(++signals < 100);
			vfio_irq_signal(fx->session, VFIO_IRQ_ERR, 0);
		} while (!is_ticking());
		while (is_ticking())
			assert_true(++ticks < 100);
	}
	assert_int_equal(event_take(fd), signals);
	assert_false(has_async());
	close(fd);
}

/* A counter that is full is as good as delivered, and blocks nobody even if the client makes its
 * descriptor block after it was passed. */
static void test_full_counter(void **state)
{
	struct fixture *fx = *state;
	uint64_t most = UINT64_MAX - 1;
	int fd = event_new();

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	client_join_qemu(fx);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_ERR, 0, 1), &fd, 1), 0);
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_false(has_async());
	for (int i = 0; i < 3; i++)
		vfio_irq_signal(fx->session, VFIO_IRQ_ERR, 0);
	assert_true(has_async());
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_true(event_take(fd) >= most);
	/* nothing waits any more, so nothing is watched */
	while (is_ticking())
		;
	vfio_irq_signal(fx->session, VFIO_IRQ_ERR, 0);
	assert_false(is_ticking());
	assert_int_equal(event_take(fd), 1);
	close(fd);
}

static void test_intx_level(void **state)
{
	struct fixture *fx = *state;
	int fd = event_new();

	client_join_qemu(fx);
	vfio_irq_intx(fx->session, true); /* nobody listens yet */
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_INTX, 0, 1), &fd, 1), 0);
	assert_int_equal(event_take(fd), 1); /* the level was high already */
	vfio_irq_intx(fx->session, true);
	assert_int_equal(event_take(fd), 0); /* it has masked itself */
	/* unmask while the level is high: again */
	assert_int_equal(client_irqs(fx, IRQS(NONE | UNMASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	assert_int_equal(event_take(fd), 1);
	vfio_irq_intx(fx->session, false);
	assert_int_equal(client_irqs(fx, IRQS(NONE | UNMASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	assert_int_equal(event_take(fd), 0);
	vfio_irq_intx(fx->session, true);
	assert_int_equal(event_take(fd), 1);
	/* masked by the client: pending until it unmasks */
	vfio_irq_intx(fx->session, false);
	assert_int_equal(client_irqs(fx, IRQS(NONE | UNMASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	assert_int_equal(client_irqs(fx, IRQS(NONE | MASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	vfio_irq_intx(fx->session, true);
	assert_int_equal(event_take(fd), 0);
	assert_int_equal(client_irqs(fx, IRQS(NONE | UNMASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	assert_int_equal(event_take(fd), 1);
	/* off and on again forgets the mask */
	assert_int_equal(client_irqs(fx, IRQS(NONE | TRIGGER, VFIO_IRQ_INTX, 0, 0), NULL, 0), 0);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_INTX, 0, 1), &fd, 1), 0);
	assert_int_equal(event_take(fd), 1);
	/* the level is the device's and outlives the client */
	client_leave(fx);
	client_join_qemu(fx);
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_INTX, 0, 1), &fd, 1), 0);
	assert_int_equal(event_take(fd), 1);
	close(fd);
}

/* KVM: unmask by an eventfd. */
static void test_intx_resample(void **state)
{
	struct fixture *fx = *state;
	int fd = event_new();
	int unmask = event_new();
	uint64_t one = 1;
	int before;

	client_join_qemu(fx);
	before = count_open_fds();
	assert_int_equal(client_irqs(fx, IRQS(FDS | TRIGGER, VFIO_IRQ_INTX, 0, 1), &fd, 1), 0);
	assert_int_equal(client_irqs(fx, IRQS(NONE | MASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	assert_int_equal(client_irqs(fx, IRQS(FDS | UNMASK, VFIO_IRQ_INTX, 0, 1), &unmask, 1), 0);
	assert_true(fx->kept[slot(VFIO_IRQ_INTX, 1)]);
	assert_int_equal(vfio_page_check(fx->page, &fx->info), 0);
	assert_int_equal(client_irqs(fx, IRQS(NONE | UNMASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	vfio_irq_intx(fx->session, true);
	assert_int_equal(event_take(fd), 1);
	assert_int_equal(write(unmask, &one, 8), 8);
	fixture_turn(fx);
	assert_int_equal(event_take(fd), 1);
	vfio_irq_intx(fx->session, false);
	assert_int_equal(write(unmask, &one, 8), 8);
	fixture_turn(fx);
	assert_int_equal(event_take(fd), 0);
	vfio_irq_intx(fx->session, true);
	assert_int_equal(event_take(fd), 1);
	/* replaced, then taken back */
	assert_int_equal(client_irqs(fx, IRQS(FDS | UNMASK, VFIO_IRQ_INTX, 0, 1), &unmask, 1), 0);
	assert_int_equal(write(unmask, &one, 8), 8);
	fixture_turn(fx);
	assert_int_equal(event_take(fd), 1);
	assert_int_equal(client_irqs(fx, IRQS(FDS | UNMASK, VFIO_IRQ_INTX, 0, 1), NULL, 0), 0);
	assert_int_equal(write(unmask, &one, 8), 8);
	fixture_turn(fx);
	assert_int_equal(event_take(fd), 0);
	/* disabling the index takes both */
	assert_int_equal(client_irqs(fx, IRQS(FDS | UNMASK, VFIO_IRQ_INTX, 0, 1), &unmask, 1), 0);
	assert_int_equal(client_irqs(fx, IRQS(NONE | TRIGGER, VFIO_IRQ_INTX, 0, 0), NULL, 0), 0);
	assert_int_equal(count_open_fds(), before);
	close(fd);
	close(unmask);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_watch_stops),	    TEST(test_info),	      TEST(test_msix),
		TEST(test_msi_all_at_once), TEST(test_many_fds),      TEST(test_refusals),
		TEST(test_not_kept),	    TEST(test_loopback),      TEST(test_full_counter),
		TEST(test_intx_level),	    TEST(test_intx_resample),
	};

	return cmocka_run_group_tests_name("vfio/irq", tests, NULL, NULL);
}
