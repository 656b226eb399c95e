/* SPDX-License-Identifier: BSD-3-Clause */
/* parallelism=0: storage that works on a known number of operations, in time that the test makes;
 * and the options around it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver.h"
#include "guest.h"

#define MODEL_SIZE   (1ull << 20)
#define MODEL_PLACES 512u
#define LIMIT_NS     200000000ull

/* A storage that works on @places operations at once, each for @each_ns. */
static struct {
	struct nvme_backend base;
	uint32_t places;
	uint64_t each_ns;
	int error;
	bool stuck;
	uint64_t started;
	uint64_t ended;
	uint32_t most_seen;
	uint64_t end_ns[MODEL_PLACES];
	struct nvme_io *ios[MODEL_PLACES];
} model;

static void model_start(struct nvme_backend *backend, struct nvme_io *io)
{
	uint64_t from_ns = fake.now_ns;
	uint64_t n = model.started++;

	assert_int_equal(io->op, NVME_OP_READ); /* nothing is ever written */
	assert_int_equal(io->length, 4096);
	assert_int_equal(io->offset % 4096, 0);
	assert_true(io->offset <= MODEL_SIZE - 4096);
	assert_int_equal((uintptr_t)io->iov->iov_base % 4096, 0);
	assert_true(n - model.ended < MODEL_PLACES);
	if (n - model.ended + 1 > model.most_seen)
		model.most_seen = (uint32_t)(n - model.ended + 1);
	if (n >= model.places && model.end_ns[(n - model.places) % MODEL_PLACES] > from_ns)
		from_ns = model.end_ns[(n - model.places) % MODEL_PLACES];
	model.end_ns[n % MODEL_PLACES] = from_ns + model.each_ns;
	model.ios[n % MODEL_PLACES] = io;
}

static void model_flush(struct nvme_backend *backend)
{
}

static uint32_t model_reap(struct nvme_backend *backend)
{
	uint32_t n = 0;

	fake.now_ns += 500;
	while (model.ended < model.started && !model.stuck &&
	       model.end_ns[model.ended % MODEL_PLACES] <= fake.now_ns) {
		struct nvme_io *io = model.ios[model.ended++ % MODEL_PLACES];

		io->done(io, model.error);
		n++;
	}
	return n;
}

static const struct nvme_backend_ops model_ops = {
	.name = "model", .start = model_start, .flush = model_flush, .reap = model_reap};

static uint32_t measure(uint32_t places, uint64_t each_ns, uint32_t most)
{
	struct nvme_measure *late = NULL;
	uint64_t start_ns = fake.now_ns;
	uint32_t depth;

	memset(&model, 0, sizeof(model));
	model.base.ops = &model_ops;
	model.base.most = most;
	model.places = places;
	model.each_ns = each_ns;
	depth = nvme_measure(&model.base, MODEL_SIZE, &late);
	assert_in_range(fake.now_ns - start_ns, 1, LIMIT_NS);
	assert_in_range(depth, 1, most);
	assert_true(model.most_seen <= most);
	assert_true(nvme_measure_end(late));
	assert_int_equal(model.ended, model.started);
	return depth;
}

static int up(void **state)
{
	fake_up(&(struct fake_options){.size = 1u << 20});
	return 0;
}

static int down(void **state)
{
	fake_down();
	return 0;
}

static void test_known(void **state)
{
	assert_int_equal(measure(1, 20000, 256), 1);
	assert_int_equal(measure(2, 20000, 256), 2);
	assert_int_equal(measure(8, 50000, 256), 8);
	assert_int_equal(measure(32, 100000, 256), 32);
	assert_int_equal(measure(500, 100000, 256), 256);
	/* Between two depths the next. */
	assert_int_equal(measure(24, 100000, 256), 32);
	/* Not more than the backend can. */
	assert_int_equal(measure(500, 100000, 16), 16);
	assert_int_equal(measure(500, 100000, 1), 1);
}

/* What answers within the submission: the number is one of a batch. */
static void test_at_once(void **state)
{
	assert_int_equal(measure(1, 0, 256), NVME_BATCH);
	assert_true(model.started < 100000);
	assert_int_equal(measure(1, 0, NVME_BATCH - 1), NVME_BATCH - 1);
}

/* Slow storage: a few reads tell what they can. */
static void test_slow(void **state)
{
	uint32_t depth = measure(1, 8000000, 256);

	assert_in_range(depth, 1, 4);
	assert_true(model.most_seen <= 4);
	/* One read that takes longer than all of the time there is. */
	assert_int_equal(measure(1, 400000000, 256), 32);
	assert_int_equal(model.started, 1);
}

static void test_stuck(void **state)
{
	struct nvme_measure *late = NULL;
	uint64_t start_ns;

	memset(&model, 0, sizeof(model));
	model.base.ops = &model_ops;
	model.base.most = 256;
	model.places = 1;
	model.stuck = true;
	start_ns = fake.now_ns;
	assert_int_equal(nvme_measure(&model.base, MODEL_SIZE, &late), 32);
	assert_in_range(fake.now_ns - start_ns, 1, LIMIT_NS);
	assert_non_null(late);
	start_ns = fake.now_ns;
	assert_false(nvme_measure_end(late));
	assert_in_range(fake.now_ns - start_ns, 1, 5100000000ull);
	model.stuck = false;
	assert_true(nvme_measure_end(late));
	assert_true(nvme_measure_end(NULL));
}

static void test_failing(void **state)
{
	struct nvme_measure *late = NULL;

	memset(&model, 0, sizeof(model));
	model.base.ops = &model_ops;
	model.base.most = 256;
	model.places = 4;
	model.each_ns = 10000;
	model.error = -EIO;
	assert_int_equal(nvme_measure(&model.base, MODEL_SIZE, &late), 32);
	assert_null(late);
	assert_int_equal(model.ended, 1);
}

/* ---- Parents ---- */

static uint32_t parallelism(void)
{
	return fake.info.engines[NVME_ENGINE_IO].parallelism;
}

static void measured(uint64_t size, uint32_t io, uint32_t most)
{
	struct fake_options options = {.measured = true, .real_time = true, .io = io};

	options.path = guest_file(size);
	fake_up(&options);
	assert_in_range(parallelism(), 1, most);
	assert_non_null(strstr(fake.info.description, " at once (measured)"));
	guest_enable(32);
	guest_create_pair(1, 16);
	assert_int_equal(guest_run(1, guest_transfer(NVME_IO_READ, 0, 64, GUEST_BUFFER), NULL),
			 NVME_OK);
	fake_down();
	unlink(options.path);
}

static void test_files(void **state)
{
	measured(1u << 20, 1, NVME_MEASURE_MAX); /* the smallest, a hole */
	measured(64u << 20, 1, NVME_MEASURE_MAX);
	measured(1u << 20, 2, 16);
}

static void test_given(void **state)
{
	fake_up(&(struct fake_options){.size = 1u << 20, .measured = true});
	assert_int_equal(parallelism(), NVME_BATCH);
	assert_string_equal(fake.info.description, "memory, 1 MiB, 64 at once");
	fake_down();
	fake_up(&(struct fake_options){.size = 1u << 20, .parallelism = 1});
	assert_int_equal(parallelism(), 1);
	assert_string_equal(fake.info.description, "memory, 1 MiB, 1 at once");
	fake_down();
}

static void test_reserved(void **state)
{
	struct fake_options options = {.size = 1u << 20, .parallelism = 4, .reserved_slots = 4};

	assert_int_equal(fake_open(&options), -EINVAL);
	assert_string_equal(fake.failed, "reserved_slots=4 leaves nothing to drives without a "
					 "priority: give less than parallelism=4");
	fake_down();
	options.reserved_slots = 3;
	fake_up(&options);
	assert_int_equal(fake.info.engines[NVME_ENGINE_IO].reserved_slots, 3);
	assert_int_equal(fake.info.engines[NVME_ENGINE_ADMIN].reserved_slots, 0);
	fake_down();
	options = (struct fake_options){
		.size = 1u << 20, .parallelism = NVME_PARALLELISM_MAX, .reserved_slots = 4095};
	fake_up(&options);
	fake_down();
	/* What is measured leaves a place in any case. */
	options = (struct fake_options){
		.size = 1u << 20, .measured = true, .reserved_slots = NVME_BATCH - 1};
	fake_up(&options);
	assert_int_equal(parallelism(), NVME_BATCH);
	fake_down();
	options.reserved_slots = NVME_BATCH;
	fake_up(&options);
	assert_int_equal(parallelism(), NVME_BATCH + 1);
	fake_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_known, up, down),
		cmocka_unit_test_setup_teardown(test_at_once, up, down),
		cmocka_unit_test_setup_teardown(test_slow, up, down),
		cmocka_unit_test_setup_teardown(test_stuck, up, down),
		cmocka_unit_test_setup_teardown(test_failing, up, down),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_given),
		cmocka_unit_test(test_reserved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
