/* SPDX-License-Identifier: BSD-3-Clause */
/* Pollers: they keep the loop awake while they find work, for no longer than asked, and may leave
 * or join from within their own calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/reactor.h"

#define POLLERS 3

struct watcher {
	struct reactor_poller poller;
	struct reactor *reactor;
	struct watcher *victim;
	struct watcher *joins;
	uint32_t find; /* what the next calls report */
	unsigned calls;
};

struct fixture {
	struct reactor *reactor;
	struct watcher watchers[POLLERS];
};

static uint32_t watcher_poll(struct reactor_poller *poller, uint64_t now_ns)
{
	struct watcher *w = container_of(poller, struct watcher, poller);

	assert_true(now_ns > 0);
	w->calls++;
	if (w->victim)
		reactor_poller_del(w->reactor, &w->victim->poller);
	if (w->joins)
		reactor_poller_add(w->reactor, &w->joins->poller);
	return w->find;
}

static int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->reactor = reactor_new();
	assert_non_null(f->reactor);
	for (int i = 0; i < POLLERS; i++) {
		f->watchers[i].reactor = f->reactor;
		f->watchers[i].poller.poll = watcher_poll;
	}
	*state = f;
	return 0;
}

static int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	reactor_free(f->reactor);
	free(f);
	return 0;
}

static void test_called_every_turn(void **state)
{
	struct fixture *f = *state;

	reactor_poller_add(f->reactor, &f->watchers[0].poller);
	reactor_poller_add(f->reactor, &f->watchers[0].poller);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(reactor_turn(f->reactor, 0), 0);
		assert_int_equal(f->watchers[0].calls, i);
	}
	reactor_poller_del(f->reactor, &f->watchers[0].poller);
	reactor_poller_del(f->reactor, &f->watchers[0].poller);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->watchers[0].calls, 5);
}

/* While something is found the loop does not sleep; afterwards it does, once spin_ns has passed. */
static void test_awake_while_busy(void **state)
{
	struct fixture *f = *state;
	struct watcher *w = &f->watchers[0];
	uint64_t start;

	w->poller.spin_ns = 20 * NS_PER_MS;
	w->find = 1;
	reactor_poller_add(f->reactor, &w->poller);
	start = clock_now_ns();
	for (int i = 0; i < 100; i++)
		assert_int_equal(reactor_turn(f->reactor, 30 * NS_PER_S), 0);
	assert_true(clock_now_ns() - start < 20 * NS_PER_S);
	w->find = 0;
	w->calls = 0;
	start = clock_now_ns();
	while (clock_now_ns() - start < 60 * NS_PER_MS)
		assert_int_equal(reactor_turn(f->reactor, 100 * NS_PER_MS), 0);
	/* It spun for 20 ms, then slept in a call of 100 ms. */
	assert_true(clock_now_ns() - start >= 100 * NS_PER_MS);
	assert_true(w->calls > 10);
}

static void test_idle_sleeps(void **state)
{
	struct fixture *f = *state;
	uint64_t start = clock_now_ns();

	reactor_poller_add(f->reactor, &f->watchers[0].poller);
	assert_int_equal(reactor_turn(f->reactor, 30 * NS_PER_MS), 0);
	assert_true(clock_now_ns() - start >= 29 * NS_PER_MS);
	assert_int_equal(f->watchers[0].calls, 1);
}

static void test_spins_for_ever(void **state)
{
	struct fixture *f = *state;
	uint64_t start = clock_now_ns();

	f->watchers[0].poller.spin_ns = UINT64_MAX;
	reactor_poller_add(f->reactor, &f->watchers[0].poller);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(reactor_turn(f->reactor, 30 * NS_PER_S), 0);
	assert_true(clock_now_ns() - start < 20 * NS_PER_S);
	assert_int_equal(f->watchers[0].calls, 1000);
}

static unsigned events_seen;
static void event_ready(struct reactor_fd *source, uint32_t events)
{
	uint64_t count;

	assert_int_equal(read(source->fd, &count, sizeof(count)), sizeof(count));
	events_seen++;
}

/* Polling may put a look at the descriptors off, but not for long. */
static void test_events_while_busy(void **state)
{
	struct fixture *f = *state;
	struct reactor_fd source = {.events = EPOLLIN, .ready = event_ready};
	uint64_t end = clock_now_ns() + 10 * NS_PER_S;
	const uint64_t one = 1;

	f->watchers[0].poller.spin_ns = UINT64_MAX;
	f->watchers[0].find = 1;
	reactor_poller_add(f->reactor, &f->watchers[0].poller);
	source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(reactor_fd_add(f->reactor, &source), 0);
	events_seen = 0;
	assert_int_equal(write(source.fd, &one, sizeof(one)), sizeof(one));
	while (events_seen == 0 && clock_now_ns() < end)
		assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(events_seen, 1);
	reactor_fd_del(f->reactor, &source);
	close(source.fd);
}

static unsigned timers_seen;
static void timer_expired(struct reactor_timer *timer)
{
	timers_seen++;
}

static void test_timers_while_busy(void **state)
{
	struct fixture *f = *state;
	struct reactor_timer timer = {.expired = timer_expired};
	uint64_t end = clock_now_ns() + 10 * NS_PER_S;

	f->watchers[0].poller.spin_ns = UINT64_MAX;
	reactor_poller_add(f->reactor, &f->watchers[0].poller);
	timers_seen = 0;
	reactor_timer_set(f->reactor, &timer, clock_now_ns() + NS_PER_MS);
	while (timers_seen == 0 && clock_now_ns() < end)
		assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(timers_seen, 1);
}

static void test_leaves_in_its_call(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < POLLERS; i++)
		reactor_poller_add(f->reactor, &f->watchers[i].poller);
	f->watchers[1].victim = &f->watchers[1];
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->watchers[0].calls, 2);
	assert_int_equal(f->watchers[1].calls, 1);
	assert_int_equal(f->watchers[2].calls, 2);
}

/* The next in line is removed by the one before it: it is not called, the one after it is. */
static void test_removes_the_next(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < POLLERS; i++)
		reactor_poller_add(f->reactor, &f->watchers[i].poller);
	f->watchers[0].victim = &f->watchers[1];
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->watchers[0].calls, 1);
	assert_int_equal(f->watchers[1].calls, 0);
	assert_int_equal(f->watchers[2].calls, 1);
	f->watchers[0].victim = &f->watchers[2];
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->watchers[2].calls, 1);
	assert_int_equal(f->watchers[0].calls, 2);
}

static void test_removes_the_previous(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < POLLERS; i++)
		reactor_poller_add(f->reactor, &f->watchers[i].poller);
	f->watchers[1].victim = &f->watchers[0];
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->watchers[0].calls, 1);
	assert_int_equal(f->watchers[1].calls, 2);
	assert_int_equal(f->watchers[2].calls, 2);
}

static void test_joins_in_a_call(void **state)
{
	struct fixture *f = *state;

	reactor_poller_add(f->reactor, &f->watchers[0].poller);
	f->watchers[0].joins = &f->watchers[1];
	for (int i = 0; i < 3; i++)
		assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->watchers[0].calls, 3);
	assert_true(f->watchers[1].calls >= 2);
}

#define POLL_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		POLL_TEST(test_called_every_turn),    POLL_TEST(test_awake_while_busy),
		POLL_TEST(test_idle_sleeps),	      POLL_TEST(test_spins_for_ever),
		POLL_TEST(test_events_while_busy),    POLL_TEST(test_timers_while_busy),
		POLL_TEST(test_leaves_in_its_call),   POLL_TEST(test_removes_the_next),
		POLL_TEST(test_removes_the_previous), POLL_TEST(test_joins_in_a_call),
	};

	return cmocka_run_group_tests_name("reactor-poll", tests, NULL, NULL);
}
