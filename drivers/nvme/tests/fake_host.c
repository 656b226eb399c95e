/* SPDX-License-Identifier: BSD-3-Clause */
/* See fake_host.h. */
#include "fake_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver.h"

#define WATCHES 8
#define JOBS	4096

struct fake fake;

static struct {
	int fd;
	umdev_fd_ready *ready;
	void *arg;
} watches[WATCHES];

static struct {
	uint64_t deadline_ns;
	umdev_timer_expired *expired;
	void *arg;
} timers[4];

static struct umdev_job *queues[NVME_ENGINE_COUNT][JOBS];
static int storage_fd = -1;
static const int handles[2];

enum { JOB_IDLE, JOB_QUEUED, JOB_STARTED };

__attribute__((format(printf, 2, 3))) static int fake_fail(int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fake.failed, sizeof(fake.failed), fmt, ap);
	va_end(ap);
	return -error;
}

__attribute__((format(printf, 2, 3))) static void fake_log(int level, const char *fmt, ...)
{
}

uint64_t fake_now(void)
{
	struct timespec ts;

	if (!fake.real_time)
		return fake.now_ns;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int fake_fd_watch(struct umdev_parent *parent, int fd, uint32_t events,
			 umdev_fd_ready *ready, void *arg)
{
	for (uint32_t i = 0; i < WATCHES; i++) {
		if (watches[i].ready)
			continue;
		watches[i].fd = fd;
		watches[i].ready = ready;
		watches[i].arg = arg;
		return 0;
	}
	return -ENOSPC;
}

static void fake_fd_unwatch(struct umdev_parent *parent, int fd)
{
	for (uint32_t i = 0; i < WATCHES; i++) {
		if (watches[i].ready && watches[i].fd == fd)
			watches[i].ready = NULL;
	}
}

static void fake_timer(struct umdev_mdev *mdev, uint32_t id, uint64_t deadline_ns,
		       umdev_timer_expired *expired, void *arg)
{
	assert_true(id < 4);
	timers[id].deadline_ns = deadline_ns;
	timers[id].expired = expired;
	timers[id].arg = arg;
}

static void fake_poll_mode(struct umdev_mdev *mdev, uint32_t on)
{
	fake.polling = on;
}

static void fake_irq_raise(struct umdev_mdev *mdev, uint32_t vector)
{
	assert_true(vector < FAKE_VECTORS);
	fake.irqs[vector]++;
	if (fake.level_mode)
		fake.level = true;
}

static void fake_irq_lower(struct umdev_mdev *mdev)
{
	fake.level = false;
}

static uint32_t fake_irq_is_level(struct umdev_mdev *mdev)
{
	return fake.level_mode;
}

static bool fake_inside(uint64_t iova, uint64_t len)
{
	return iova < FAKE_MEMORY && len <= FAKE_MEMORY - iova && len > 0;
}

static bool fake_remote(uint64_t iova, uint64_t len)
{
	return iova < fake.remote_to && iova + len > fake.remote_from;
}

/* Whether this is, or was, the end of the process: guest memory is out of its reach. */
static bool fake_dies(uint64_t iova, uint64_t len)
{
	bool deadly = fake.deadly != 0 && iova <= fake.deadly && fake.deadly - iova < len;

	if (fake.dead)
		return true;
	if (fake.dying_map > 0)
		deadly |= --fake.dying_map == 0;
	fake.doomed |= deadly;
	if (!deadly || fake.only_doomed)
		return false;
	fake.dead = true;
	fake.at_death = *fake.state;
	return true;
}

static int fake_dma_map(struct umdev_mdev *mdev, uint64_t iova, uint64_t len, uint32_t access,
			struct iovec *iov, uint32_t max)
{
	uint32_t n = 0;

	fake.maps++;
	assert_true(max > 0);
	if (!fake_inside(iova, len) || fake_dies(iova, len))
		return -EFAULT;
	if (fake_remote(iova, len))
		return -EREMOTE;
	while (len > 0) {
		uint64_t piece = len;

		if (fake.split && piece > fake.split - iova % fake.split)
			piece = fake.split - iova % fake.split;
		if (n == max)
			return -E2BIG;
		iov[n].iov_base = fake.memory + iova;
		iov[n++].iov_len = piece;
		iova += piece;
		len -= piece;
	}
	return (int)n;
}

static uint32_t fake_dma_hold(struct umdev_mdev *mdev)
{
	fake.holds++;
	return 77;
}

static void fake_dma_release(struct umdev_mdev *mdev, uint32_t token)
{
	assert_int_equal(token, 77);
	assert_true(fake.holds > 0);
	fake.holds--;
}

static int fake_transfer(uint64_t iova, void *to, const void *from, uint64_t len,
			 umdev_dma_done *done, void *arg)
{
	if (!fake_inside(iova, len) || fake_dies(iova, len))
		return -EFAULT;
	to = to ? to : fake.memory + iova;
	from = from ? from : fake.memory + iova;
	if (!fake_remote(iova, len)) {
		memcpy(to, from, len);
		return 0;
	}
	assert_true(fake.transfer_count < FAKE_TRANSFERS);
	fake.transfers[fake.transfer_count++] = (struct fake_transfer){
		.iova = iova, .to = to, .from = from, .len = len, .done = done, .arg = arg};
	return -EINPROGRESS;
}

static int fake_dma_read(struct umdev_mdev *mdev, uint64_t iova, void *buf, uint64_t len,
			 umdev_dma_done *done, void *arg)
{
	return fake_transfer(iova, buf, NULL, len, done, arg);
}

static int fake_dma_write(struct umdev_mdev *mdev, uint64_t iova, const void *buf, uint64_t len,
			  umdev_dma_done *done, void *arg)
{
	return fake_transfer(iova, NULL, buf, len, done, arg);
}

static void *fake_bar_memory(struct umdev_mdev *mdev, uint32_t bar, uint32_t area)
{
	return bar == 0 && area == 0 ? fake.bar_page : NULL;
}

static struct fake_engine *fake_engine(uint32_t index)
{
	assert_in_range(index, 0, NVME_ENGINE_COUNT - 1);
	return index == NVME_ENGINE_ADMIN ? &fake.admin : &fake.io;
}

static void fake_job_submit(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct fake_engine *e = fake_engine(job->engine);

	assert_int_equal(job->host[0], JOB_IDLE);
	assert_true(e->queued < JOBS);
	job->host[0] = JOB_QUEUED;
	queues[job->engine][e->queued++] = job;
}

static int fake_job_withdraw(struct umdev_mdev *mdev, struct umdev_job *job)
{
	struct fake_engine *e = fake_engine(job->engine);
	struct umdev_job **queue = queues[job->engine];

	if (job->host[0] != JOB_QUEUED)
		return 0;
	for (uint32_t i = 0; i < e->queued; i++) {
		if (queue[i] != job)
			continue;
		e->queued--;
		memmove(&queue[i], &queue[i + 1], (e->queued - i) * sizeof(queue[0]));
		job->host[0] = JOB_IDLE;
		return 1;
	}
	fail_msg("a queued job is not in the queue");
	return 0;
}

static void fake_job_done(struct umdev_mdev *mdev, struct umdev_job *job)
{
	assert_int_equal(job->host[0], JOB_STARTED);
	job->host[0] = JOB_IDLE;
	fake_engine(job->engine)->started--;
	fake.ended_ns = 0;
}

static void fake_job_done_at(struct umdev_mdev *mdev, struct umdev_job *job, uint64_t ended_ns)
{
	fake_job_done(mdev, job);
	assert_true(ended_ns > 0 && ended_ns <= fake_now());
	fake.ended_ns = ended_ns;
}

static void fake_clean(void)
{
	assert_int_equal(fake.holds, 0);
	assert_int_equal(fake.io.queued + fake.admin.queued, 0);
	assert_int_equal(fake.io.started + fake.admin.started, 0);
	assert_int_equal(fake.transfer_count, 0);
}

static void fake_reset_done(struct umdev_mdev *mdev)
{
	fake.resets_done++;
	fake_clean();
}

static void fake_discard_done(struct umdev_parent *parent, int status)
{
	fake.discards_done++;
	fake.discard_status = status;
}

__attribute__((format(printf, 2, 3))) static void fake_event(struct umdev_mdev *mdev,
							     const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(fake.last_event, sizeof(fake.last_event), fmt, ap);
	va_end(ap);
}

static const struct umdev_host_ops fake_ops = {
	.struct_size = sizeof(fake_ops),
	.abi_version = UMDEV_ABI_VERSION,
	.fail = fake_fail,
	.log = fake_log,
	.now_ns = fake_now,
	.fd_watch = fake_fd_watch,
	.fd_unwatch = fake_fd_unwatch,
	.timer = fake_timer,
	.poll_mode = fake_poll_mode,
	.irq_raise = fake_irq_raise,
	.irq_lower = fake_irq_lower,
	.irq_is_level = fake_irq_is_level,
	.dma_map = fake_dma_map,
	.dma_hold = fake_dma_hold,
	.dma_release = fake_dma_release,
	.dma_read = fake_dma_read,
	.dma_write = fake_dma_write,
	.bar_memory = fake_bar_memory,
	.job_submit = fake_job_submit,
	.job_withdraw = fake_job_withdraw,
	.job_done = fake_job_done,
	.reset_done = fake_reset_done,
	.discard_done = fake_discard_done,
	.event = fake_event,
	.job_done_at = fake_job_done_at,
};

/* ---- Life ---- */

static void fake_values(const struct fake_options *o, struct umdev_value values[NVME_OPT_COUNT])
{
	for (uint32_t i = 0; i < NVME_OPT_COUNT; i++)
		values[i].fd = -1;
	if (o->path)
		values[NVME_OPT_PATH] = (struct umdev_value){.text = o->path, .fd = storage_fd};
	else
		values[NVME_OPT_RAM] = (struct umdev_value){.text = "64M", .fd = storage_fd};
	values[NVME_OPT_TYPES].text = o->types ? o->types : "1g,4g,16g,rest";
	values[NVME_OPT_BLOCK_SIZE].number = o->block_size_index;
	values[NVME_OPT_IO].number = o->io;
	values[NVME_OPT_PARALLELISM].number = o->parallelism ? o->parallelism : 128;
	if (o->measured)
		values[NVME_OPT_PARALLELISM].number = 0;
	values[NVME_OPT_SERVICE_US].number = o->service_us;
	values[NVME_OPT_RESERVED_SLOTS].number = o->reserved_slots;
	values[NVME_OPT_POLL_US].number = o->poll_us;
}

int fake_open(const struct fake_options *o)
{
	struct umdev_value values[NVME_OPT_COUNT] = {{.text = NULL}};
	struct umdev_parent_args args = {.struct_size = sizeof(args),
					 .value_count = NVME_OPT_COUNT,
					 .name = "p0",
					 .values = values};
	uint64_t size = o->size ? o->size : 64u << 20;
	int rc;

	memset(&fake, 0, sizeof(fake));
	memset(timers, 0, sizeof(timers));
	fake.now_ns = 1000000000;
	fake.real_time = o->real_time;
	fake.memory = mmap(NULL, FAKE_MEMORY, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(fake.memory, MAP_FAILED);
	fake.bar_page = aligned_alloc(4096, 4096);
	memset(fake.bar_page, 0, 4096);
	fake.state = calloc(1, sizeof(*fake.state));
	storage_fd = o->path ? open(o->path, O_RDWR | O_CLOEXEC) : memfd_create("ram", MFD_CLOEXEC);
	assert_true(storage_fd >= 0);
	if (!o->path)
		assert_return_code(ftruncate(storage_fd, (off_t)size), errno);
	fake_values(o, values);
	fake.driver = umdev_driver_entry(UMDEV_ABI_VERSION, &fake_ops);
	assert_non_null(fake.driver);
	fake.info.struct_size = sizeof(fake.info);
	rc = fake.driver->parent_open((struct umdev_parent *)(void *)&handles[0], &args, &fake.info,
				      &fake.parent);
	if (rc < 0)
		fake.parent = NULL;
	return rc;
}

int fake_create(const struct fake_options *o, uint32_t state_origin)
{
	struct umdev_value values[NVME_ATTR_COUNT] = {{.text = NULL}};
	struct umdev_mdev_args args = {
		.struct_size = sizeof(args),
		.uuid = FAKE_UUID,
		.piece_start = o->piece_start,
		.piece_size = o->piece_size ? o->piece_size : fake.info.pool_units,
		.values = values,
		.value_count = NVME_ATTR_COUNT,
		.state = fake.state,
		.state_size = sizeof(*fake.state),
		.state_origin = state_origin,
	};
	int rc;

	values[NVME_ATTR_DOORBELLS].number = o->doorbells;
	values[NVME_ATTR_INTERRUPTS].number = o->interrupts;
	values[NVME_ATTR_QUEUES].number = o->queues ? o->queues : 64;
	values[NVME_ATTR_SERIAL].text = o->serial ? o->serial : "";
	values[NVME_ATTR_MODEL].text = o->model ? o->model : "umdev NVMe";
	fake.device =
		(struct umdev_device){.struct_size = sizeof(fake.device), .msix_bar = UMDEV_NO_BAR};
	rc = fake.driver->mdev_create(fake.parent, (struct umdev_mdev *)(void *)&handles[1], &args,
				      &fake.device, &fake.mdev);
	if (rc < 0)
		fake.mdev = NULL;
	return rc;
}

void fake_up(const struct fake_options *o)
{
	assert_return_code(fake_open(o), 0);
	assert_return_code(fake_create(o, UMDEV_STATE_NEW), 0);
}

void fake_down(void)
{
	if (fake.mdev) {
		uint32_t before = fake.resets_done;
		int rc = fake.driver->reset(fake.mdev, UMDEV_RESET_LOST);

		fake.io.stopped = false;
		fake.transfers_stopped = false;
		for (uint32_t i = 0; rc == -EINPROGRESS && i < 200000; i++) {
			fake_turn();
			if (fake.resets_done > before)
				rc = 0;
		}
		assert_int_equal(rc, 0);
		fake_clean();
		fake.driver->mdev_remove(fake.mdev);
	}
	if (fake.parent)
		fake.driver->parent_close(fake.parent);
	close(storage_fd);
	munmap(fake.memory, FAKE_MEMORY);
	free(fake.bar_page);
	free(fake.state);
	memset(watches, 0, sizeof(watches));
}

void fake_crash(void)
{
	struct nvme_state *copy = calloc(1, sizeof(*copy));
	uint32_t before = fake.resets_done;
	int rc;

	/* The page as it stands at the moment of death; what the process does after that does not
	 * count. */
	memcpy(copy, fake.dead ? &fake.at_death : fake.state, sizeof(*copy));
	fake.dying_map = 0;
	fake.dead = true;
	rc = fake.driver->reset(fake.mdev, UMDEV_RESET_LOST);
	fake.transfers_stopped = false;
	fake.fds_stopped = false;
	for (uint32_t i = 0; rc == -EINPROGRESS && i < 200000 && fake.resets_done == before; i++)
		fake_turn();
	fake.driver->mdev_remove(fake.mdev);
	fake.mdev = NULL;
	memcpy(fake.state, copy, sizeof(*copy));
	free(copy);
	fake.doomed = false;
	fake.dead = false;
	memset(timers, 0, sizeof(timers));
}

/* ---- The loop ---- */

static uint32_t fake_turn_fds(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < WATCHES; i++) {
		struct pollfd pfd = {.fd = watches[i].fd, .events = POLLIN};

		if (watches[i].ready && poll(&pfd, 1, 0) == 1) {
			watches[i].ready(watches[i].arg, (uint32_t)pfd.revents);
			n++;
		}
	}
	return n;
}

static uint32_t fake_turn_timers(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < 4; i++) {
		if (timers[i].deadline_ns == 0 || timers[i].deadline_ns > fake_now())
			continue;
		timers[i].deadline_ns = 0;
		timers[i].expired(timers[i].arg);
		n++;
	}
	return n;
}

static uint32_t fake_turn_engine(uint32_t index)
{
	struct fake_engine *e = fake_engine(index);
	struct umdev_job **queue = queues[index];
	uint32_t n = 0;

	while (e->queued > 0 && !e->stopped && e->started < fake.info.engines[index].parallelism) {
		struct umdev_job *job = queue[0];

		e->queued--;
		memmove(&queue[0], &queue[1], e->queued * sizeof(queue[0]));
		job->host[0] = JOB_STARTED;
		e->started++;
		e->total++;
		fake.driver->job_start(fake.mdev, job);
		n++;
	}
	return n;
}

static uint32_t fake_turn_jobs(void)
{
	uint32_t n = fake_turn_engine(NVME_ENGINE_IO) + fake_turn_engine(NVME_ENGINE_ADMIN);

	if (n > 0)
		fake.driver->jobs_flush(fake.parent);
	return n;
}

/* Messages answered so far; new ones wait for the next turn. */
static uint32_t fake_turn_transfers(void)
{
	uint32_t n = fake.transfers_stopped ? 0 : fake.transfer_count;

	for (uint32_t i = 0; i < n; i++) {
		struct fake_transfer t = fake.transfers[0];

		fake.transfer_count--;
		memmove(&fake.transfers[0], &fake.transfers[1],
			fake.transfer_count * sizeof(fake.transfers[0]));
		if (!fake.messages_fail)
			memcpy(t.to, t.from, t.len);
		t.done(t.arg, fake.messages_fail ? -ECANCELED : 0);
	}
	return n;
}

uint32_t fake_turn(void)
{
	uint32_t n = (fake.fds_stopped ? 0 : fake_turn_fds()) + fake_turn_timers();

	if (fake.mdev && fake.polling)
		n += fake.driver->poll(fake.mdev);
	n += fake_turn_jobs();
	return n + fake_turn_transfers();
}

void fake_settle(uint32_t limit)
{
	for (uint32_t quiet = 0; limit > 0 && quiet < 3; limit--)
		quiet = fake_turn() > 0 ? 0 : quiet + 1;
}
