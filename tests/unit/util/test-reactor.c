/* SPDX-License-Identifier: BSD-3-Clause */
/* The event loop: descriptors, timers and tasks, and above all their removal within callbacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/reactor.h"

#define SOURCES 4

/* A source that counts, and does to others what a test asks of it. */
struct probe {
	struct reactor_fd source;
	struct reactor_timer timer;
	struct reactor_task task;
	struct reactor *reactor;
	struct probe *victim; /* removed by this one's callback */
	struct probe *again;  /* queued by this one's callback */
	unsigned calls;
	unsigned order; /* the turn in a common count at which it was last called */
	unsigned *clock;
};

struct fixture {
	struct reactor *reactor;
	struct probe probes[SOURCES];
	unsigned clock;
};

static void probe_called(struct probe *p)
{
	p->calls++;
	p->order = ++*p->clock;
	if (p->victim) {
		reactor_fd_del(p->reactor, &p->victim->source);
		reactor_timer_cancel(p->reactor, &p->victim->timer);
		reactor_task_del(p->reactor, &p->victim->task);
	}
	if (p->again)
		reactor_task_add(p->reactor, &p->again->task);
}

static void probe_ready(struct reactor_fd *source, uint32_t events)
{
	uint64_t count;
	struct probe *p = container_of(source, struct probe, source);

	assert_true(events & EPOLLIN);
	assert_int_equal(read(source->fd, &count, sizeof(count)), sizeof(count));
	probe_called(p);
}

static void probe_expired(struct reactor_timer *timer)
{
	probe_called(container_of(timer, struct probe, timer));
}

static void probe_run(struct reactor_task *task)
{
	probe_called(container_of(task, struct probe, task));
}

static int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->reactor = reactor_new();
	assert_non_null(f->reactor);
	for (int i = 0; i < SOURCES; i++) {
		struct probe *p = &f->probes[i];

		p->reactor = f->reactor;
		p->clock = &f->clock;
		p->source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(p->source.fd >= 0);
		p->source.events = EPOLLIN;
		p->source.ready = probe_ready;
		p->timer.expired = probe_expired;
		p->task.run = probe_run;
	}
	*state = f;
	return 0;
}

static int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < SOURCES; i++)
		close(f->probes[i].source.fd);
	reactor_free(f->reactor);
	free(f);
	return 0;
}

static void probe_signal(struct probe *p)
{
	const uint64_t one = 1;

	assert_int_equal(write(p->source.fd, &one, sizeof(one)), sizeof(one));
}

/* ---- Descriptors */

static void test_fd_ready(void **state)
{
	struct fixture *f = *state;
	struct probe *p = &f->probes[0];

	assert_int_equal(reactor_fd_add(f->reactor, &p->source), 0);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 0);
	probe_signal(p);
	assert_int_equal(reactor_turn(f->reactor, NS_PER_S), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	reactor_fd_del(f->reactor, &p->source);
	reactor_fd_del(f->reactor, &p->source);
	probe_signal(p);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
}

/* Both ways of changing what is waited for. */
static void test_fd_events_change(void **state)
{
	struct fixture *f = *state;
	struct probe *p = &f->probes[0];

	p->source.events = 0;
	assert_int_equal(reactor_fd_add(f->reactor, &p->source), 0);
	probe_signal(p);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 0);
	p->source.events = EPOLLIN;
	assert_int_equal(reactor_fd_add(f->reactor, &p->source), 0);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(reactor_fd_events(f->reactor, &p->source, 0), 0);
	probe_signal(p);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(reactor_fd_events(f->reactor, &p->source, EPOLLIN), 0);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 2);
}

static void test_fd_refused(void **state)
{
	struct fixture *f = *state;
	struct reactor_fd bad = {.fd = -1, .events = EPOLLIN, .ready = probe_ready};
	struct reactor_fd file = {.events = EPOLLIN, .ready = probe_ready};

	assert_int_equal(reactor_fd_add(f->reactor, &bad), -EBADF);
	assert_false(bad.added);
	file.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(reactor_fd_add(f->reactor, &file), -EPERM);
	close(file.fd);
}

static void test_fd_removes_itself(void **state)
{
	struct fixture *f = *state;
	struct probe *p = &f->probes[0];

	p->victim = p;
	assert_int_equal(reactor_fd_add(f->reactor, &p->source), 0);
	probe_signal(p);
	assert_int_equal(reactor_turn(f->reactor, NS_PER_S), 0);
	probe_signal(p);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	assert_false(p->source.added);
}

/* Two are ready in one turn and the first removes the second: its event must not arrive, whichever
 * of them comes first. */
static void test_fd_removes_another(void **state)
{
	struct fixture *f = *state;
	struct probe *a = &f->probes[0];
	struct probe *b = &f->probes[1];

	a->victim = b;
	b->victim = a;
	assert_int_equal(reactor_fd_add(f->reactor, &a->source), 0);
	assert_int_equal(reactor_fd_add(f->reactor, &b->source), 0);
	probe_signal(a);
	probe_signal(b);
	assert_int_equal(reactor_turn(f->reactor, NS_PER_S), 0);
	assert_int_equal(a->calls + b->calls, 1);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(a->calls + b->calls, 1);
}

/* ---- Timers */

static void test_timer_order(void **state)
{
	struct fixture *f = *state;
	uint64_t now = clock_now_ns();
	uint64_t end = now + 5 * NS_PER_S;

	reactor_timer_set(f->reactor, &f->probes[2].timer, now + 3 * NS_PER_MS);
	reactor_timer_set(f->reactor, &f->probes[0].timer, now + NS_PER_MS);
	reactor_timer_set(f->reactor, &f->probes[1].timer, now + 2 * NS_PER_MS);
	reactor_timer_set(f->reactor, &f->probes[3].timer, end);
	while (f->probes[2].calls == 0 && clock_now_ns() < end)
		assert_int_equal(reactor_turn(f->reactor, NS_PER_S), 0);
	assert_int_equal(f->probes[0].order, 1);
	assert_int_equal(f->probes[1].order, 2);
	assert_int_equal(f->probes[2].order, 3);
	assert_true(reactor_now_ns(f->reactor) >= now + 3 * NS_PER_MS);
	assert_int_equal(f->probes[3].calls, 0);
}

static void test_timer_moves_and_cancels(void **state)
{
	struct fixture *f = *state;
	struct probe *p = &f->probes[0];
	uint64_t now = clock_now_ns();

	reactor_timer_set(f->reactor, &p->timer, now + 60 * NS_PER_S);
	reactor_timer_set(f->reactor, &p->timer, now);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	reactor_timer_set(f->reactor, &p->timer, now);
	reactor_timer_cancel(f->reactor, &p->timer);
	reactor_timer_cancel(f->reactor, &p->timer);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
}

static unsigned late_runs;
static struct reactor *late_reactor;

static void late_expired(struct reactor_timer *timer)
{
	/* A driver may ask for a time that has passed, again and again; the bound ends the test. */
	if (++late_runs < 1000)
		reactor_timer_set(late_reactor, timer, 1);
}

static void test_timer_in_the_past(void **state)
{
	struct fixture *f = *state;
	struct reactor_timer late = {.expired = late_expired};

	late_runs = 0;
	late_reactor = f->reactor;
	reactor_timer_set(f->reactor, &late, 1);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(late_runs, 1);
	assert_int_equal(reactor_turn(f->reactor, UINT64_MAX), 0);
	assert_int_equal(late_runs, 2);
	reactor_timer_cancel(f->reactor, &late);
}

static void test_timer_cancels_another(void **state)
{
	struct fixture *f = *state;
	uint64_t now = clock_now_ns();

	f->probes[0].victim = &f->probes[1];
	reactor_timer_set(f->reactor, &f->probes[0].timer, now - 2);
	reactor_timer_set(f->reactor, &f->probes[1].timer, now - 1);
	reactor_timer_set(f->reactor, &f->probes[2].timer, now);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->probes[0].calls, 1);
	assert_int_equal(f->probes[1].calls, 0);
	assert_int_equal(f->probes[2].calls, 1);
}

static void test_timer_bounds_the_sleep(void **state)
{
	struct fixture *f = *state;
	uint64_t start = clock_now_ns();

	reactor_timer_set(f->reactor, &f->probes[0].timer, start + 20 * NS_PER_MS);
	assert_int_equal(reactor_turn(f->reactor, 30 * NS_PER_S), 0);
	assert_true(clock_now_ns() - start >= 19 * NS_PER_MS);
	assert_true(clock_now_ns() - start < 20 * NS_PER_S);
}

/* ---- Tasks */

static void test_task_once(void **state)
{
	struct fixture *f = *state;
	struct probe *p = &f->probes[0];

	reactor_task_add(f->reactor, &p->task);
	reactor_task_add(f->reactor, &p->task);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
	reactor_task_add(f->reactor, &p->task);
	reactor_task_del(f->reactor, &p->task);
	reactor_task_del(f->reactor, &p->task);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(p->calls, 1);
}

static void test_task_removes_another(void **state)
{
	struct fixture *f = *state;

	f->probes[0].victim = &f->probes[1];
	for (int i = 0; i < 3; i++)
		reactor_task_add(f->reactor, &f->probes[i].task);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->probes[0].calls, 1);
	assert_int_equal(f->probes[1].calls, 0);
	assert_int_equal(f->probes[2].calls, 1);
}

/* A task that queues itself for ever neither lets the loop sleep nor keeps events waiting. */
static void test_task_queues_itself(void **state)
{
	struct fixture *f = *state;
	struct probe *task = &f->probes[0];
	struct probe *other = &f->probes[1];
	uint64_t end = clock_now_ns() + 20 * NS_PER_S;

	task->again = task;
	reactor_task_add(f->reactor, &task->task);
	assert_int_equal(reactor_fd_add(f->reactor, &other->source), 0);
	probe_signal(other);
	for (int i = 0; i < 3; i++)
		assert_int_equal(reactor_turn(f->reactor, UINT64_MAX), 0);
	assert_true(clock_now_ns() < end);
	assert_int_equal(other->calls, 1);
	assert_true(task->calls >= 3);
}

static void test_task_from_event(void **state)
{
	struct fixture *f = *state;

	f->probes[0].again = &f->probes[1];
	assert_int_equal(reactor_fd_add(f->reactor, &f->probes[0].source), 0);
	probe_signal(&f->probes[0]);
	assert_int_equal(reactor_turn(f->reactor, NS_PER_S), 0);
	assert_int_equal(reactor_turn(f->reactor, 0), 0);
	assert_int_equal(f->probes[1].calls, 1);
	assert_true(f->probes[1].order > f->probes[0].order);
}

/* ---- The loop */

static void stop_ready(struct reactor_fd *source, uint32_t events)
{
	struct probe *p = container_of(source, struct probe, source);

	probe_ready(source, events);
	reactor_stop(p->reactor);
}

static void test_run_and_stop(void **state)
{
	struct fixture *f = *state;
	struct probe *p = &f->probes[0];

	p->source.ready = stop_ready;
	assert_int_equal(reactor_fd_add(f->reactor, &p->source), 0);
	for (unsigned i = 1; i <= 3; i++) {
		probe_signal(p);
		assert_int_equal(reactor_run(f->reactor), 0);
		assert_int_equal(p->calls, i);
	}
}

static void stop_run(struct reactor_task *task)
{
	struct probe *p = container_of(task, struct probe, task);

	probe_run(task);
	reactor_stop(p->reactor);
}

/* A stop that comes before the sleep of a turn prevents the sleep. */
static void test_stop_from_task(void **state)
{
	struct fixture *f = *state;

	f->probes[0].task.run = stop_run;
	reactor_task_add(f->reactor, &f->probes[0].task);
	assert_int_equal(reactor_run(f->reactor), 0);
	assert_int_equal(f->probes[0].calls, 1);
}

static void test_free_nothing(void **state)
{
	reactor_free(NULL);
}

#define REACTOR_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		REACTOR_TEST(test_fd_ready),
		REACTOR_TEST(test_fd_events_change),
		REACTOR_TEST(test_fd_refused),
		REACTOR_TEST(test_fd_removes_itself),
		REACTOR_TEST(test_fd_removes_another),
		REACTOR_TEST(test_timer_order),
		REACTOR_TEST(test_timer_moves_and_cancels),
		REACTOR_TEST(test_timer_cancels_another),
		REACTOR_TEST(test_timer_in_the_past),
		REACTOR_TEST(test_timer_bounds_the_sleep),
		REACTOR_TEST(test_task_once),
		REACTOR_TEST(test_task_removes_another),
		REACTOR_TEST(test_task_queues_itself),
		REACTOR_TEST(test_task_from_event),
		REACTOR_TEST(test_run_and_stop),
		REACTOR_TEST(test_stop_from_task),
		cmocka_unit_test(test_free_nothing),
	};

	return cmocka_run_group_tests_name("reactor", tests, NULL, NULL);
}
