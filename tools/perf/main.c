/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdev-perf: an NVMe host over vfio-user that makes load, measures it and checks the data.
 *
 * Exit code: 0; 1 when the device cannot be used, a command failed or data was wrong; 2 for usage.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "arena.h"
#include "client.h"
#include "copy.h"
#include "cpu.h"
#include "load.h"
#include "nvme.h"
#include "options.h"
#include "report.h"
#include "verify.h"

#define MAIN_IOVA	    (1ULL << 32) /* above 4 GiB, where a guest's memory may be, too */
#define MAIN_MEMORY_MAX	    (4ULL << 30)
#define MAIN_VERIFY_DEFAULT (1ULL << 30) /* bytes verified unless --size says otherwise */

static volatile sig_atomic_t main_stop;

/* All that one run holds. */
struct main_run {
	const struct perf_options *options;
	struct client client;
	struct arena arena;
	struct nvme_ctrl ctrl;
	struct verify_model model;
	struct load *load;
	struct load_result result;
	struct load_region region;
};

static void main_signal(int number)
{
	(void)number;
	main_stop = 1;
}

static void main_catch_signals(void)
{
	struct sigaction action = {.sa_handler = main_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

/* The region to use, checked against the namespace. */
static int main_region(struct main_run *run, struct umdev_error *err)
{
	const struct perf_options *o = run->options;
	const struct nvme_identity *id = &run->ctrl.id;
	uint64_t capacity = id->blocks * id->block_bytes;
	uint64_t size = o->size_bytes;

	if (o->block_bytes % id->block_bytes != 0)
		return error_set_key(err, ERROR_INVALID, "bs",
				     "--bs %u: the namespace has blocks of %u bytes",
				     o->block_bytes, id->block_bytes);
	if (o->block_bytes > id->transfer_max)
		return error_set_key(err, ERROR_INVALID, "bs",
				     "--bs %u: the controller transfers at most %llu bytes",
				     o->block_bytes, (unsigned long long)id->transfer_max);
	if (o->sgl && !(id->sgls & 3))
		return error_set_key(err, ERROR_INVALID, "sgl",
				     "--sgl: the controller does not support SGL");
	if (o->offset_bytes % id->block_bytes != 0 || size % id->block_bytes != 0)
		return error_set_key(err, ERROR_INVALID, "offset",
				     "--offset and --size must be multiples of the block size, %u",
				     id->block_bytes);
	if (o->offset_bytes >= capacity || size > capacity - o->offset_bytes)
		return error_set_key(err, ERROR_INVALID, "offset",
				     "--offset and --size reach beyond the namespace of %llu bytes",
				     (unsigned long long)capacity);
	if (size == 0)
		size = capacity - o->offset_bytes;
	if (o->size_bytes == 0 && o->verify)
		size = MIN(size, MAIN_VERIFY_DEFAULT);
	if (size < o->block_bytes)
		return error_set_key(err, ERROR_INVALID, "size",
				     "the region of %llu bytes is smaller than one command",
				     (unsigned long long)size);
	run->region.first_lba = o->offset_bytes / id->block_bytes;
	run->region.blocks = size / id->block_bytes;
	return 0;
}

static int main_model(struct main_run *run, struct umdev_error *err)
{
	uint32_t number;
	int r;

	if (!run->options->verify)
		return 0;
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return error_set(err, ERROR_INTERNAL, "getrandom: %s", strerror(errno));
	r = verify_init(&run->model, run->region.first_lba, run->region.blocks,
			run->ctrl.id.block_bytes, number);
	if (r < 0)
		return error_set_key(err, ERROR_LIMIT, "size",
				     "cannot verify %llu blocks: %s; give a smaller --size",
				     (unsigned long long)run->region.blocks, strerror(-r));
	run->region.model = &run->model;
	return run->options->state_file[0] ? verify_load(&run->model, run->options->state_file, err)
					   : 0;
}

/* From the socket to queues ready for use. */
static int main_set_up(struct main_run *run, struct umdev_error *err)
{
	const struct perf_options *o = run->options;
	uint64_t memory = nvme_ctrl_arena_bytes(o->queues, OPTIONS_ENTRIES) + load_arena_bytes(o);
	int r;

	if (memory > MAIN_MEMORY_MAX)
		return error_set_key(err, ERROR_LIMIT, "depth",
				     "buffers of %llu MiB are needed, %llu MiB are the limit; "
				     "lower --queues, --depth or --bs",
				     (unsigned long long)(memory >> 20),
				     (unsigned long long)(MAIN_MEMORY_MAX >> 20));
	r = client_connect(&run->client, o->socket, o->timeout_ns, err);
	if (r == 0)
		r = arena_init(&run->arena, MAIN_IOVA, memory, err);
	if (r == 0)
		r = client_negotiate(&run->client, err);
	if (r == 0)
		r = client_map(&run->client, &run->arena, err);
	if (r == 0)
		r = nvme_ctrl_init(&run->ctrl, &run->client, &run->arena, o, err);
	if (r == 0)
		r = main_region(run, err);
	if (r == 0)
		r = nvme_ctrl_create_queues(&run->ctrl, o, err);
	if (r == 0)
		r = main_model(run, err);
	if (r == 0)
		r = load_new(o, &run->ctrl, &run->region, &run->load, err);
	return r;
}

/* Runs the load, reports, and keeps the model. */
static int main_work(struct main_run *run, struct umdev_error *err)
{
	const struct perf_options *o = run->options;
	pid_t server = o->server_pid ? o->server_pid : cpu_find_server(run->client.sock);
	struct umdev_error second = {0};
	int r = load_run(run->load, server, &main_stop, &run->result, err);

	load_free(umdev_steal_ptr(&run->load));
	if (o->state_file[0] && verify_save(&run->model, o->state_file, &second) < 0) {
		if (r == 0)
			*err = second;
		r = -EIO;
	}
	if (report_load(stdout, o, &run->ctrl, &run->result) < 0 || fflush(stdout) != 0) {
		if (r == 0)
			error_set(err, ERROR_INTERNAL, "cannot write the report");
		r = -EIO;
	}
	return r;
}

static int main_load(const struct perf_options *options)
{
	static struct main_run run = {.client = {.sock = -1}, .arena = ARENA_INIT};
	struct umdev_error err = {0};
	int r;

	run.options = options;
	r = main_set_up(&run, &err);
	if (r == 0)
		r = main_work(&run, &err);
	load_free(run.load);
	if (r == 0)
		r = nvme_ctrl_shutdown(&run.ctrl, &err);
	if (r == 0)
		r = client_unmap(&run.client, &err);
	if (r < 0)
		fprintf(stderr, "umdev-perf: %s\n", err.message);
	nvme_ctrl_done(&run.ctrl);
	client_close(&run.client);
	arena_done(&run.arena);
	verify_done(&run.model);
	return r < 0 || run.result.errors || run.result.mismatches ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int main_memcpy(const struct perf_options *options)
{
	struct umdev_error err = {0};
	uint64_t copies;
	uint64_t window_ns;
	int r = copy_run(options, &main_stop, &copies, &window_ns, &err);

	if (r == 0 && report_memcpy(stdout, options, copies, window_ns) < 0)
		r = error_set(&err, ERROR_INTERNAL, "cannot write the report");
	if (r < 0)
		fprintf(stderr, "umdev-perf: %s\n", err.message);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct perf_options options;
	struct umdev_error err = {0};
	int r = options_parse(argc, argv, &options, &err);

	if (r == OPTIONS_HELP) {
		options_usage(stdout);
		return EXIT_SUCCESS;
	}
	if (r == OPTIONS_VERSION) {
		puts("umdev-perf " UMDEV_VERSION);
		return EXIT_SUCCESS;
	}
	if (r < 0) {
		fprintf(stderr, "umdev-perf: %s\n", err.message);
		return 2;
	}
	main_catch_signals();
	return options.memcpy_baseline ? main_memcpy(&options) : main_load(&options);
}
