/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands that begin anew after a death, and the one that processes die of. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest.h"

#define DEADLY	   (GUEST_BUFFER + 0x200000)
#define COMMANDS   20u
#define DEATHS_MAX 20u
#define NS_PER_MS  1000000u

static struct fake_options options = {.size = 64u << 20};

/* How often each command of a scene has ended, and with what. */
static struct {
	uint16_t first;
	uint16_t count;
	uint32_t ended;
	uint32_t times[256];
	uint32_t status[256];
	uint64_t at_ns[256];
} scene;

static void scene_up(void)
{
	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 64);
	memset(&scene, 0, sizeof(scene));
	scene.first = guest.next_cid;
}

static uint16_t scene_post(uint8_t opcode, uint64_t at)
{
	uint16_t cid = guest_post(1, guest_transfer(opcode, scene.count * 8u, 8, at));

	assert_int_equal(cid, scene.first + scene.count);
	scene.count++;
	return (uint16_t)(cid - scene.first);
}

static void scene_reap(void)
{
	struct nvme_cqe cqe;

	while (!fake.dead && guest_reap(1, &cqe)) {
		uint16_t n = (uint16_t)(cqe.cid - scene.first);

		assert_in_range(n, 0, scene.count - 1);
		assert_int_equal(scene.times[n]++, 0);
		scene.status[n] = cqe.status >> 1 & ~NVME_MORE;
		scene.at_ns[n] = fake.now_ns;
		scene.ended++;
	}
}

static void scene_crash(void)
{
	fake_crash();
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	guest_ring(1); /* the write that was being served is served again, before anything else */
}

/* A millisecond goes by, unless threads work for us: those need real time, and get ten of it. */
static void scene_time(void)
{
	const struct timespec real = {.tv_nsec = NS_PER_MS};

	if (!options.path || fake.io.started == 0) {
		fake.now_ns += NS_PER_MS;
		return;
	}
	nanosleep(&real, NULL);
	fake.now_ns += NS_PER_MS / 10;
}

/* Turns of a millisecond until everything has ended. Returns how many processes died. */
static uint32_t scene_run(uint32_t turns)
{
	uint32_t deaths = 0;

	while (scene.ended < scene.count && turns-- > 0) {
		fake_turn();
		scene_time();
		if (fake.doomed) {
			scene_crash();
			assert_true(++deaths < DEATHS_MAX);
		}
		scene_reap();
	}
	assert_int_equal(scene.ended, scene.count);
	return deaths;
}

/* Some commands, of which number @culprit is deadly. */
static void scene_fill(uint32_t culprit)
{
	for (uint32_t i = 0; i < COMMANDS; i++)
		scene_post(i & 1 ? NVME_IO_READ : NVME_IO_WRITE,
			   i == culprit ? DEADLY : GUEST_BUFFER + i * 0x2000);
}

static void scene_check(uint32_t culprit)
{
	for (uint32_t i = 0; i < scene.count; i++)
		assert_int_equal(scene.status[i], i == culprit ? NVME_INTERNAL_NO_RETRY : NVME_OK);
}

/* Three processes die over it, at whatever place it stands; the fourth ends it, and it alone. */
static void test_culprit(void **state)
{
	static const uint32_t places[] = {0, 1, 7, COMMANDS - 1};

	for (uint32_t i = 0; i < 4; i++) {
		uint32_t culprit = places[i];
		uint64_t begun_ns;
		char text[64];

		scene_up();
		begun_ns = fake.now_ns;
		fake.deadly = DEADLY;
		fake.io.stopped = true;
		scene_fill(culprit);
		fake.io.stopped = false;
		assert_int_equal(scene_run(2000), NVME_DEATHS_MAX);
		scene_check(culprit);
		snprintf(text, sizeof(text), "queue 1: cid %u, opcode %02xh", scene.first + culprit,
			 culprit & 1 ? NVME_IO_READ : NVME_IO_WRITE);
		assert_non_null(strstr(fake.last_event, text));
		/* The guest hears of it when the process has proven itself. */
		assert_true(scene.at_ns[culprit] - begun_ns >= 1000u * NS_PER_MS);
		assert_int_equal(fake.state->error_count, 1);
		assert_int_equal(fake.state->replays, 0);
		assert_int_equal(fake.state->suspect, 0);
		/* The same again costs as much again, and not more. */
		scene_fill(culprit);
		assert_int_equal(scene_run(2000), NVME_DEATHS_MAX);
		assert_int_equal(scene.status[COMMANDS + culprit], NVME_INTERNAL_NO_RETRY);
		fake_down();
	}
}

/* It kills while it is fetched and parsed: nobody is in the midst of a request of the client. */
static void test_culprit_list(void **state)
{
	uint16_t n;

	scene_up();
	fake.deadly = GUEST_LISTS + 0x10000; /* of guest_transfer() */
	fake.io.stopped = true;
	scene_post(NVME_IO_WRITE, GUEST_BUFFER);
	guest.keep_doorbells = true;
	n = (uint16_t)(guest_post(1, guest_transfer(NVME_IO_WRITE, 0, 64, GUEST_BUFFER)) -
		       scene.first);
	scene.count++;
	guest.keep_doorbells = false;
	fake.io.stopped = false;
	assert_false(fake.dead);
	guest_ring(1);
	assert_true(fake.dead);
	for (uint32_t deaths = 1; deaths < NVME_DEATHS_MAX; deaths++) {
		scene_crash();
		assert_false(fake.dead);
		fake_turn();
		assert_true(fake.dead);
	}
	scene_crash();
	assert_int_equal(scene_run(2000), 0);
	scene_check(n);
	fake_down();
}

/* Processes die while it is at the storage: nobody is named before it is alone. */
static void test_culprit_waits(void **state)
{
	struct fake_options before = options;

	options.path = guest_file(64u << 20);
	options.io = 2;
	scene_up();
	fake.deadly = DEADLY;
	fake.only_doomed = true;
	fake.io.stopped = true;
	scene_fill(5);
	fake.io.stopped = false;
	fake.fds_stopped = true;
	assert_true(fake_turn() > 0 && fake.doomed);
	scene_crash();
	assert_int_equal(fake.state->replays, 0);
	fake.fds_stopped = true;
	assert_true(fake_turn() > 0 && fake.doomed);
	assert_int_equal(fake.state->replays, 1);
	assert_int_equal(scene_run(4000), 1 + NVME_DEATHS_MAX);
	scene_check(5);
	fake_down();
	unlink(options.path);
	options = before;
}

/* Two that kill, and an admin command that does. */
static void test_culprits(void **state)
{
	struct nvme_sqe identify;
	struct nvme_cqe cqe;

	scene_up();
	fake.deadly = DEADLY;
	fake.io.stopped = true;
	scene_fill(3);
	scene_post(NVME_IO_READ, DEADLY);
	fake.io.stopped = false;
	assert_int_equal(scene_run(4000), 2 * NVME_DEATHS_MAX);
	assert_int_equal(scene.status[3], NVME_INTERNAL_NO_RETRY);
	assert_int_equal(scene.status[COMMANDS], NVME_INTERNAL_NO_RETRY);
	identify = guest_command(NVME_ADMIN_IDENTIFY, 0);
	identify.cdw10 = 1;
	identify.prp1 = DEADLY;
	guest_post(0, identify);
	for (uint32_t deaths = 0; deaths < NVME_DEATHS_MAX; deaths++) {
		while (!fake.dead)
			fake_turn();
		scene_crash();
	}
	fake_settle(20);
	assert_false(guest_reap(0, &cqe));
	fake.now_ns += 1000u * NS_PER_MS;
	assert_int_equal(guest_wait(0).status >> 1, NVME_INTERNAL_NO_RETRY | NVME_MORE);
	identify.prp1 = GUEST_BUFFER;
	assert_int_equal(guest_run(0, identify, NULL), NVME_OK);
	fake_down();
}

/* One death less, and it ends as any other. Its slot does not remember. */
static void test_nearly(void **state)
{
	scene_up();
	fake.deadly = DEADLY;
	fake.io.stopped = true;
	scene_fill(7);
	fake.io.stopped = false;
	for (uint32_t deaths = 0; deaths + 1 < NVME_DEATHS_MAX; deaths++) {
		while (!fake.doomed) {
			fake_turn();
			scene_reap();
		}
		scene_crash();
	}
	fake.deadly = 0;
	assert_int_equal(scene_run(100), 0);
	scene_check(COMMANDS);
	fake.deadly = DEADLY;
	scene_fill(7);
	assert_int_equal(scene_run(2000), NVME_DEATHS_MAX);
	fake_down();
}

/* Deaths that have nothing to do with the commands do not add up, however many there are. */
static void test_random(void **state)
{
	uint64_t random = 1;
	uint32_t deaths = 0;
	uint32_t named = 0;

	fake_up(&options);
	guest_enable(32);
	guest_create_pair(1, 64);
	while (deaths < 1000) {
		memset(&scene, 0, sizeof(scene));
		scene.first = guest.next_cid = 1;
		for (uint32_t i = 0; i < 200; i++) {
			if (fake.dying_map == 0 && !fake.dead) {
				random = random * 6364136223846793005ull + 1442695040888963407ull;
				fake.dying_map = 1 + (random >> 33) % 400;
			}
			scene_post(i & 1 ? NVME_IO_READ : NVME_IO_WRITE, GUEST_BUFFER + i * 0x2000);
			if (scene.count - scene.ended < 16)
				continue;
			while (scene.count - scene.ended >= 16) {
				fake_turn();
				fake.now_ns += NS_PER_MS;
				scene_reap();
				if (!fake.dead)
					continue;
				named += fake.at_death.suspect != 0;
				scene_crash();
				deaths++;
			}
		}
		fake.dying_map = 0;
		scene_run(2000);
		scene_check(UINT32_MAX);
	}
	assert_true(named > deaths / 4); /* else this would show nothing */
	fake_down();
}

/* One after the other; a storage that hangs does not keep the others for longer than half a second.
 */
static void test_slow(void **state)
{
	struct fake_options before = options;

	options.path = guest_file(64u << 20);
	options.io = 2;
	scene_up();
	fake.io.stopped = true;
	scene_fill(COMMANDS);
	fake.io.stopped = false;
	fake_crash();
	fake.state->replays = 1;
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	fake.fds_stopped = true;
	fake_settle(20);
	assert_int_equal(fake.io.started, 1);
	assert_int_equal(fake.state->suspect, 1);
	/* Nothing new is begun meanwhile. */
	scene_post(NVME_IO_WRITE, GUEST_BUFFER);
	fake_settle(20);
	assert_int_equal(fake.io.started, 1);
	fake.now_ns += 500u * NS_PER_MS;
	fake_settle(20);
	assert_int_equal(fake.io.started, COMMANDS + 1);
	assert_int_equal(fake.state->suspect, 0);
	assert_int_equal(fake.state->replays, 0);
	fake.fds_stopped = false;
	assert_int_equal(scene_run(200), 0);
	scene_check(COMMANDS + 1);
	fake_down();
	unlink(options.path);
	options = before;
}

/* Who waits for its turn at the storage is not what a process dies of. */
static void test_queued(void **state)
{
	scene_up();
	fake.io.stopped = true;
	scene_fill(COMMANDS);
	fake_crash();
	fake.state->replays = 1;
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
		fake_settle(20);
		fake.now_ns += 2000u * NS_PER_MS;
		fake_settle(20);
		assert_int_equal(fake.io.queued, 1);
		fake_crash();
	}
	assert_int_equal(fake_create(&options, UMDEV_STATE_RESUME), 0);
	fake.io.stopped = false;
	assert_int_equal(scene_run(200), 0);
	scene_check(COMMANDS);
	fake_down();
}

/* A process that leaves in order is no death, also in the midst of beginning one after the other,
 * and a reset ends all of it. */
static void test_left(void **state)
{
	for (uint32_t reset = 0; reset < 2; reset++) {
		scene_up();
		fake.deadly = DEADLY;
		fake.io.stopped = true;
		scene_fill(9);
		fake.io.stopped = false;
		for (uint32_t deaths = 0; deaths < NVME_DEATHS_MAX - 1; deaths++) {
			while (!fake.doomed) {
				fake_turn();
				scene_reap();
			}
			scene_crash();
		}
		fake.io.stopped = true;
		fake_settle(3);
		assert_int_equal(fake.state->replays, 1);
		if (reset)
			assert_int_equal(fake.driver->reset(fake.mdev, UMDEV_RESET_LOST), 0);
		else
			assert_int_equal(fake.driver->quiesce(fake.mdev), 0);
		assert_int_equal(fake.state->replays, 0);
		assert_int_equal(fake.state->suspect, 0);
		fake.io.stopped = false;
		fake.deadly = 0;
		if (reset) {
			guest_enable(32);
			guest_create_pair(1, 64);
			fake.deadly = DEADLY;
			scene.first = guest.next_cid;
			scene.count = 0;
			scene.ended = 0;
			memset(scene.times, 0, sizeof(scene.times));
			scene_fill(COMMANDS);
		} else {
			scene_crash();
		}
		assert_int_equal(scene_run(200), 0);
		scene_check(COMMANDS);
		fake_down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_culprit),	      cmocka_unit_test(test_culprit_list),
		cmocka_unit_test(test_culprit_waits), cmocka_unit_test(test_culprits),
		cmocka_unit_test(test_nearly),	      cmocka_unit_test(test_random),
		cmocka_unit_test(test_slow),	      cmocka_unit_test(test_queued),
		cmocka_unit_test(test_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
