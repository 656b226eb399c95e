/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DEVICE_FEATURE, MIG_DATA_READ and MIG_DATA_WRITE: a client stops the device, reads its state as a
 * stream, and writes that into another one.
 *
 * State and position stand in the page, the stream in a memfd that is kept in a slot, so a
 * successor goes on. What makes that safe: a state is left only after the step to the next one was
 * done, and each step may be done again; the position moves together with the number of the request
 * that moved it (migrate_begin()).
 *
 * A device that was restored from a file waits in STOP. The first client need not know that: its
 * first access to a BAR lets the device go on.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/fd.h"
#include "vfio/session-internal.h"

#define MIGRATE_HEAD 8u /* of DEVICE_FEATURE: argsz, flags; of MIG_DATA_*: argsz, size */

/* ---- The stream */

static void migrate_drop(struct vfio_session *s)
{
	struct vfio_page_migration *m = &s->page->migration;

	m->size = 0;
	m->pos = 0;
	m->number = 0;
	s->stream_checked = false;
	if (s->stream_fd < 0)
		return;
	fd_close(&s->stream_fd);
	s->ops->drop(s->device, VFIO_SLOT_STREAM);
}

/* Has *@fd kept as the stream of @size bytes. */
static int migrate_keep(struct vfio_session *s, int *fd, uint64_t size)
{
	int r = s->ops->keep(s->device, VFIO_SLOT_STREAM, *fd);

	if (r < 0)
		return r;
	fd_close(&s->stream_fd);
	s->stream_fd = umdev_steal_fd(fd);
	s->stream_checked = false;
	s->page->migration.pos = 0;
	s->page->migration.number = 0;
	s->page->migration.size = size;
	return 0;
}

static int migrate_save(struct vfio_session *s)
{
	umdev_autoclose int fd = -1;
	uint64_t size = 0;
	int r = s->ops->save(s->device, &fd, &size);

	return r < 0 ? r : migrate_keep(s, &fd, size);
}

static int migrate_open(struct vfio_session *s)
{
	umdev_autoclose int fd = fd_memfd("umdev-stream", s->info.stream_max);

	return fd < 0 ? fd : migrate_keep(s, &fd, 0);
}

/* ---- The state */

/* Does the step to @next. */
static int migrate_arc(struct vfio_session *s, uint32_t next)
{
	struct vfio_page_migration *m = &s->page->migration;

	switch (m->state << 8 | next) {
	case WIRE_STATE_RUNNING << 8 | WIRE_STATE_STOP:
		return s->ops->rest(s->device);
	case WIRE_STATE_STOP << 8 | WIRE_STATE_RUNNING:
		return s->ops->wake(s->device);
	case WIRE_STATE_STOP << 8 | WIRE_STATE_STOP_COPY:
		return migrate_save(s);
	case WIRE_STATE_STOP << 8 | WIRE_STATE_RESUMING:
		return migrate_open(s);
	case WIRE_STATE_RESUMING << 8 | WIRE_STATE_STOP:
		return s->stream_fd < 0 ? -EIO : s->ops->load(s->device, s->stream_fd, m->pos);
	default: /* STOP_COPY to STOP */
		return 0;
	}
}

/* The step to @next has ended with @status. */
static void migrate_stepped(struct vfio_session *s, uint32_t next, int status)
{
	struct vfio_page_migration *m = &s->page->migration;
	bool streams = m->state == WIRE_STATE_STOP_COPY || m->state == WIRE_STATE_RESUMING;

	/* Half a load is no state; after any other failure the device is as it was. */
	if (status == 0)
		m->state = next;
	else if (m->state == WIRE_STATE_RESUMING)
		m->state = WIRE_STATE_ERROR;
	if (streams && m->state != WIRE_STATE_RESUMING)
		migrate_drop(s);
}

/* Goes on towards @target. */
static int migrate_walk(struct vfio_session *s, uint32_t target)
{
	struct vfio_page_migration *m = &s->page->migration;

	while (m->state != target) {
		int next = wire_state_step(m->state, target);
		int r;

		if (next < 0)
			return next;
		m->flags &= ~VFIO_MIGRATION_WAITS;
		r = migrate_arc(s, (uint32_t)next);
		if (r == -EINPROGRESS) {
			s->device_busy = true;
			return r;
		}
		migrate_stepped(s, (uint32_t)next, r);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether the request reaches for the device itself. */
static bool migrate_touches(const struct vfio_request *q)
{
	struct wire_region_access access;

	if (q->header.command == WIRE_REGION_WRITE_MULTI)
		return true;
	if ((q->header.command != WIRE_REGION_READ && q->header.command != WIRE_REGION_WRITE) ||
	    wire_region_access_decode(q->body, q->len, q->header.command == WIRE_REGION_WRITE,
				      &access) < 0)
		return false;
	return access.region < VFIO_REGION_ROM;
}

int migrate_before(struct vfio_session *s, const struct vfio_request *q)
{
	if (!(s->page->migration.flags & VFIO_MIGRATION_WAITS) || !migrate_touches(q))
		return 0;
	return migrate_walk(s, WIRE_STATE_RUNNING);
}

void migrate_reset(struct vfio_session *s)
{
	s->page->migration.flags = 0;
	s->page->migration.state = WIRE_STATE_RUNNING;
	migrate_drop(s);
}

void migrate_forget(struct vfio_session *s)
{
	if (!(s->page->migration.flags & VFIO_MIGRATION_WAITS))
		migrate_reset(s);
}

void migrate_resume(struct vfio_session *s)
{
	const struct vfio_page_migration *m = &s->page->migration;

	/* The step that makes it was not ended, and will be made again. */
	if (m->state != WIRE_STATE_STOP_COPY && m->state != WIRE_STATE_RESUMING &&
	    s->stream_fd >= 0) {
		fd_close(&s->stream_fd);
		s->ops->drop(s->device, VFIO_SLOT_STREAM);
	}
}

/* ---- DEVICE_FEATURE */

/* Answers a GET with @len bytes at @data, or with their number when the client has no room. */
static int feature_answer(struct vfio_session *s, const struct wire_feature *f, const void *data,
			  uint32_t len, uint32_t *ret_len)
{
	struct wire_feature reply = {.argsz = MIGRATE_HEAD + len, .flags = f->flags};
	uint8_t *body = s->page->tx.body;

	memcpy(body, &reply, sizeof(reply));
	*ret_len = MIGRATE_HEAD;
	if (f->argsz < reply.argsz)
		return 0;
	memcpy(body + MIGRATE_HEAD, data, len);
	*ret_len = reply.argsz;
	return 0;
}

/* Answers a SET or PROBE with the request itself, of which @len bytes count. */
static int feature_echo(struct vfio_session *s, const struct vfio_request *q, uint32_t len,
			uint32_t *ret_len)
{
	memcpy(s->page->tx.body, q->body, len);
	*ret_len = len;
	return 0;
}

static int feature_migration(struct vfio_session *s, struct vfio_request *q,
			     const struct wire_feature *f, uint32_t *ret_len)
{
	uint64_t flags = WIRE_MIGRATION_STOP_COPY;

	return feature_answer(s, f, &flags, sizeof(flags), ret_len);
}

static int feature_state(struct vfio_session *s, struct vfio_request *q,
			 const struct wire_feature *f, uint32_t *ret_len)
{
	struct wire_device_state state = {.state = s->page->migration.state, .data_fd = -1};
	int r;

	if (f->flags & WIRE_FEATURE_GET)
		return feature_answer(s, f, &state, sizeof(state), ret_len);
	if (q->len < MIGRATE_HEAD + sizeof(state))
		return -EINVAL;
	memcpy(&state, q->body + MIGRATE_HEAD, sizeof(state));
	r = migrate_walk(s, state.state);
	return r < 0 ? r : feature_echo(s, q, MIGRATE_HEAD + sizeof(state), ret_len);
}

static int feature_log_start(struct vfio_session *s, struct vfio_request *q,
			     const struct wire_feature *f, uint32_t *ret_len)
{
	int r = dirty_start_serve(s, q);

	return r < 0 ? r : feature_echo(s, q, q->len, ret_len);
}

static int feature_log_stop(struct vfio_session *s, struct vfio_request *q,
			    const struct wire_feature *f, uint32_t *ret_len)
{
	dirty_stop(s);
	return feature_echo(s, q, MIGRATE_HEAD, ret_len);
}

static int feature_log_report(struct vfio_session *s, struct vfio_request *q,
			      const struct wire_feature *f, uint32_t *ret_len)
{
	int r = dirty_report_serve(s, q);

	return r < 0 ? r : dirty_report_answer(s, q, ret_len);
}

struct feature {
	uint32_t ways; /* WIRE_FEATURE_GET, _SET */
	int (*serve)(struct vfio_session *s, struct vfio_request *q, const struct wire_feature *f,
		     uint32_t *ret_len);
};

static const struct feature features[] = {
	[WIRE_FEATURE_MIGRATION] = {WIRE_FEATURE_GET, feature_migration},
	[WIRE_FEATURE_STATE] = {WIRE_FEATURE_GET | WIRE_FEATURE_SET, feature_state},
	[WIRE_FEATURE_LOG_START] = {WIRE_FEATURE_SET, feature_log_start},
	[WIRE_FEATURE_LOG_STOP] = {WIRE_FEATURE_SET, feature_log_stop},
	[WIRE_FEATURE_LOG_REPORT] = {WIRE_FEATURE_GET, feature_log_report},
};

int feature_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	const uint32_t ways = WIRE_FEATURE_GET | WIRE_FEATURE_SET;
	struct wire_feature f;
	uint32_t number;

	if (wire_feature_decode(q->body, q->len, &f) < 0)
		return -EINVAL;
	number = f.flags & WIRE_FEATURE_NUMBER;
	if (s->info.stream_max == 0 || number >= ARRAY_SIZE(features) || !features[number].serve ||
	    (f.flags & ways & ~features[number].ways))
		return -ENOTSUP;
	if (f.flags & WIRE_FEATURE_PROBE)
		return feature_echo(s, q, MIGRATE_HEAD, ret_len);
	return features[number].serve(s, q, &f, ret_len);
}

int feature_resume(struct vfio_session *s, struct vfio_request *q, int status, uint32_t *ret_len)
{
	struct wire_device_state state;
	struct wire_feature f;

	if (wire_feature_decode(q->body, q->len, &f) < 0)
		return -EINVAL;
	switch (f.flags & WIRE_FEATURE_NUMBER) {
	case WIRE_FEATURE_LOG_START:
		return feature_echo(s, q, q->len, ret_len);
	case WIRE_FEATURE_LOG_REPORT:
		return dirty_report_answer(s, q, ret_len);
	default:
		break;
	}
	memcpy(&state, q->body + MIGRATE_HEAD, sizeof(state));
	migrate_stepped(s, (uint32_t)wire_state_step(s->page->migration.state, state.state),
			status);
	if (status == 0)
		status = migrate_walk(s, state.state);
	return status < 0 ? status : feature_echo(s, q, MIGRATE_HEAD + sizeof(state), ret_len);
}

/* ---- The data */

struct migrate_data {
	uint32_t argsz;
	uint32_t size;
};

/*
 * Where the request works, of which @size bytes are moved: the same place when it is served again
 * because the process that had begun it died.
 */
static uint64_t migrate_begin(struct vfio_session *s, uint32_t size)
{
	struct vfio_page_migration *m = &s->page->migration;

	if (m->number != s->page->rx.number) {
		m->from = m->pos;
		__atomic_store_n(&m->number, s->page->rx.number, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&m->pos, m->from + size, __ATOMIC_RELEASE);
	return m->from;
}

/* Where the request will work: nothing is changed yet. */
static uint64_t migrate_place(const struct vfio_session *s)
{
	const struct vfio_page_migration *m = &s->page->migration;

	return m->number == s->page->rx.number ? m->from : m->pos;
}

static int migrate_decode(const struct vfio_session *s, const struct vfio_request *q,
			  uint32_t state, struct migrate_data *ret_data)
{
	if (s->info.stream_max == 0)
		return -ENOTSUP;
	if (q->len < sizeof(*ret_data))
		return -EINVAL;
	memcpy(ret_data, q->body, sizeof(*ret_data));
	/* More than a message holds would look like the end of the stream. */
	if (ret_data->size > WIRE_TRANSFER_MAX - sizeof(*ret_data))
		return -EINVAL;
	return s->page->migration.state == state && s->stream_fd >= 0 ? 0 : -EINVAL;
}

int migrate_read_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	const struct vfio_page_migration *m = &s->page->migration;
	uint8_t *body = s->page->tx.body;
	struct migrate_data data;
	uint64_t left;
	uint64_t at;
	int r = migrate_decode(s, q, WIRE_STATE_STOP_COPY, &data);

	if (r < 0)
		return r;
	if (data.argsz < sizeof(data) + data.size)
		return -EINVAL;
	at = migrate_place(s);
	left = m->size > at ? m->size - at : 0;
	data.size = (uint32_t)MIN((uint64_t)data.size, left);
	if (pread(s->stream_fd, body + sizeof(data), data.size, (off_t)at) != (ssize_t)data.size)
		return -EIO;
	(void)migrate_begin(s, data.size);
	data.argsz = (uint32_t)sizeof(data) + data.size;
	memcpy(body, &data, sizeof(data));
	*ret_len = data.argsz;
	return 0;
}

/* A client should learn that this is the wrong device before it has moved everything. */
static int migrate_check(struct vfio_session *s, uint64_t size)
{
	int r = s->stream_checked ? 1 : s->ops->check(s->device, s->stream_fd, size);

	s->stream_checked = r == 1;
	return r;
}

int migrate_write_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len)
{
	struct migrate_data data;
	uint64_t at;
	int r = migrate_decode(s, q, WIRE_STATE_RESUMING, &data);

	if (r < 0)
		return r;
	if (data.size > q->len - sizeof(data))
		return -EINVAL;
	at = migrate_place(s);
	if (data.size > s->info.stream_max - MIN(at, s->info.stream_max))
		return -ENOSPC;
	if (pwrite(s->stream_fd, q->body + sizeof(data), data.size, (off_t)at) !=
	    (ssize_t)data.size)
		return -EIO;
	/* What is refused is not taken: another stream may follow in its place. */
	r = migrate_check(s, at + data.size);
	if (r < 0)
		return r;
	(void)migrate_begin(s, data.size);
	return 0;
}

/* ---- For the device */

bool vfio_session_rests(const struct vfio_session *session)
{
	return session->page->migration.state != WIRE_STATE_RUNNING;
}

bool vfio_session_waits(const struct vfio_session *session)
{
	return session->page->migration.flags & VFIO_MIGRATION_WAITS;
}
