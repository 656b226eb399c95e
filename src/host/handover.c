/* SPDX-License-Identifier: BSD-3-Clause */
/* Life without a broker, and telling the next one everything. See handover.h. */
#include "host/handover.h"
#include "host/describe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/baton.h"
#include "host/group.h"
#include "host/save.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"

#define HANDOVER_BACKLOG 4
#define HANDOVER_LOOKS	 4 /* in the time that an orphan has */

struct host_handover {
	struct umdev_parent *parent;
	struct reactor_fd listener;
	struct reactor_timer timer; /* looks whether anybody uses the orphan */
	uint64_t orphan_ns;
	uint64_t unused_since_ns;
	uid_t broker_uid;
	json_t *values; /* of the options, as opened */
	int record_fd;
	uint64_t takeover_id; /* waits until no removal is under way; 0: none */
	bool orphan;
	bool discard_lost;   /* the discard under way was for a broker that is gone */
	uint64_t discard_id; /* ... and this request waits for its end; 0: none */
	struct host_piece discard;
};

/* ---- Without a broker ------------------------------------------------------------------------ */

static bool handover_used(const struct umdev_parent *parent)
{
	const struct umdev_mdev *mdev;

	list_for_each (mdev, &parent->mdevs, link) {
		if (vfio_session_client(mdev->session, NULL))
			return true;
	}
	return false;
}

static void handover_look(struct reactor_timer *timer)
{
	struct host_handover *h = container_of(timer, struct host_handover, timer);
	uint64_t now = clock_now_ns();

	if (handover_used(h->parent))
		h->unused_since_ns = now;
	if (now - h->unused_since_ns < h->orphan_ns) {
		reactor_timer_set(h->parent->reactor, &h->timer,
				  MIN(h->unused_since_ns + h->orphan_ns,
				      now + h->orphan_ns / HANDOVER_LOOKS));
		return;
	}
	umdev_log(LOG_WARNING, h->parent->name, "host.orphan",
		  "no broker came and nobody uses an mdev: ending");
	host_shutdown(h->parent);
}

bool host_handover_begin(struct umdev_parent *parent)
{
	struct host_handover *h = parent->handover;
	struct umdev_mdev *mdev;

	if (!h || !parent->opened || parent->closing)
		return false;
	h->orphan = true;
	h->takeover_id = 0;
	h->discard_id = 0;
	h->discard_lost = parent->discard_id != 0;
	parent->release_id = 0;
	/* Their answers are nobody's any more. */
	list_for_each (mdev, &parent->mdevs, link) {
		mdev->remove_id = 0;
		host_save_forget(mdev);
	}
	link_done(&parent->link);
	if (!host_baton_orphan(parent))
		return false;
	umdev_log(LOG_WARNING, parent->name, "host.orphan", "the broker is gone; serving on");
	h->unused_since_ns = clock_now_ns();
	handover_look(&h->timer);
	return true;
}

bool host_handover_waits(const struct umdev_parent *parent)
{
	return parent->handover && parent->handover->orphan && !parent->closing;
}

bool host_handover_keeps(const struct umdev_parent *parent, int error)
{
	/* Also before the end of the link was seen. */
	return parent->handover && (error == -ENOTCONN || error == -EPIPE || error == -ECONNRESET);
}

bool host_handover_discard_later(struct umdev_parent *parent, uint64_t id,
				 const struct host_piece *piece)
{
	struct host_handover *h = parent->handover;

	if (!h || !h->discard_lost || h->discard_id)
		return false;
	h->discard_id = id;
	h->discard = *piece;
	return true;
}

bool host_handover_discarded(struct umdev_parent *parent)
{
	struct host_handover *h = parent->handover;
	uint64_t id;

	if (!h || !h->discard_lost)
		return false;
	id = h->discard_id;
	h->discard_lost = false;
	h->discard_id = 0;
	if (id)
		host_discard(parent, id, &h->discard);
	return true;
}

/* ---- A new link ------------------------------------------------------------------------------ */

int host_hello(struct umdev_parent *parent)
{
	return link_notify(&parent->link, LINK_HELLO, host_describe_hello(parent), NULL, 0);
}

/* Whether whoever connected may be our broker: who is as the last one, or root. */
static bool handover_trusts(const struct host_handover *h, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == h->broker_uid);
}

static void handover_accept(struct reactor_fd *source, uint32_t events)
{
	struct host_handover *h = container_of(source, struct host_handover, listener);
	struct umdev_parent *parent = h->parent;
	umdev_autoclose int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int r;

	if (fd < 0)
		return;
	/* One that is not open holds nothing. It ends with the link that it has. */
	if (!parent->opened || !handover_trusts(h, fd)) {
		umdev_log(LOG_WARNING, parent->name, "host.link", "a new link is refused");
		return;
	}
	/* Should the last link not have ended, its broker is past, whoever holds it open. */
	if (!h->orphan && !host_handover_begin(parent))
		return;
	r = link_init(&parent->link, parent->reactor, umdev_steal_fd(&fd), &host_link_ops, parent);
	if (r == 0)
		r = host_hello(parent);
	if (r < 0) {
		umdev_log(LOG_WARNING, parent->name, "host.link", "a new link fails: %s",
			  strerror(-r));
		link_done(&parent->link);
		return;
	}
	h->orphan = false;
	reactor_timer_cancel(parent->reactor, &h->timer);
}

/* ---- Telling --------------------------------------------------------------------------------- */

/* Tells of the parent: what it was opened with. Returns 0 or -errno. */
static int handover_tell_parent(struct umdev_parent *parent)
{
	const struct host_handover *h = parent->handover;
	json_t *names = json_array();
	json_t *flags = json_object();
	int fds[LINK_FDS_MAX];
	size_t nfds = 0;

	for (uint32_t i = 0; i < parent->driver.option_count && nfds + 1 < LINK_FDS_MAX; i++) {
		const char *name = driver_option(&parent->driver, i)->name;

		if (parent->values[i].fd < 0)
			continue;
		fds[nfds++] = parent->values[i].fd;
		json_array_append_new(names, json_string(name));
		json_object_set_new(flags, name, json_integer(parent->values[i].flags));
	}
	if (h->record_fd >= 0)
		fds[nfds++] = h->record_fd;
	return link_notify(&parent->link, LINK_PARENT,
			   json_pack("{s:O,s:o,s:o}", "values", h->values, "fds", names, "flags",
				     flags),
			   fds, nfds);
}

static void handover_answer(struct umdev_parent *parent)
{
	struct host_handover *h = parent->handover;
	uint64_t id = h->takeover_id;
	struct umdev_error err = {0};
	int r;

	h->takeover_id = 0;
	r = h->values ? handover_tell_parent(parent) : -EINVAL;
	if (r == 0) {
		link_reply(&parent->link, id, host_describe_parent(parent));
		return;
	}
	error_set(&err, ERROR_INTERNAL, "parent %s cannot be handed over: %s", parent->name,
		  strerror(-r));
	link_reply_error(&parent->link, id, &err);
}

static bool handover_removing(const struct umdev_parent *parent)
{
	const struct umdev_mdev *mdev;

	list_for_each (mdev, &parent->mdevs, link) {
		if (mdev->removing)
			return true;
	}
	return parent->releasing;
}

void host_handover_removed(struct umdev_parent *parent)
{
	if (parent->handover && parent->handover->takeover_id && !handover_removing(parent))
		handover_answer(parent);
}

void host_handover_on_takeover(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			       size_t nfds)
{
	struct host_handover *h = parent->handover;
	struct umdev_error err = {0};

	if (!h || !parent->opened || parent->closing || h->takeover_id) {
		error_set(&err, ERROR_NO_PARENT, "parent %s is not to be taken over", parent->name);
		link_reply_error(&parent->link, id, &err);
		return;
	}
	h->takeover_id = id;
	if (!handover_removing(parent))
		handover_answer(parent);
}

/* Kept descriptors on their way, as many as a message takes. */
struct handover_slots {
	struct umdev_mdev *mdev;
	json_t *slots;
	int fds[LINK_FDS_MAX];
	size_t count;
	int error;
};

static void handover_flush(struct handover_slots *k)
{
	json_t *slots = umdev_steal_ptr(&k->slots);
	int r;

	if (k->count == 0) {
		json_decref(slots);
		return;
	}
	r = link_notify(&k->mdev->parent->link, LINK_KEEP,
			json_pack("{s:s,s:o}", "uuid", k->mdev->uuid, "slots", slots), k->fds,
			k->count);
	if (k->error == 0)
		k->error = r;
	k->count = 0;
}

static void handover_slot(void *arg, uint32_t slot, int fd)
{
	struct handover_slots *k = arg;

	if (!k->slots)
		k->slots = json_array();
	json_array_append_new(k->slots, json_integer(slot));
	k->fds[k->count++] = fd;
	if (k->count == LINK_FDS_MAX)
		handover_flush(k);
}

void host_handover_each_fd(struct umdev_mdev *mdev, vfio_session_fd *each, void *arg)
{
	vfio_session_each_fd(mdev->session, each, arg);
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		if (mdev->bar_fds[i] >= 0)
			each(arg, VFIO_SLOT_BAR + i, mdev->bar_fds[i]);
	}
	for (uint32_t i = 0; i < VFIO_SLOT_DRIVER_MAX; i++) {
		if (mdev->kept_fds[i] >= 0)
			each(arg, VFIO_SLOT_DRIVER + i, mdev->kept_fds[i]);
	}
}

/* Tells of one mdev and its descriptors. Returns 0 or -errno. */
static int handover_tell_mdev(struct umdev_mdev *mdev)
{
	struct handover_slots slots = {.mdev = mdev};
	int fds[3 + UMDEV_ENDPOINTS_MAX];
	struct ucred peer;
	json_t *client = json_null();
	size_t nfds = 0;
	int r;

	fds[nfds++] = mdev->page.fd;
	fds[nfds++] = vfio_session_listener(mdev->session);
	for (uint32_t i = 0; i < mdev->endpoint_count; i++)
		fds[nfds++] = mdev->endpoints[i];
	if (mdev->record_fd >= 0)
		fds[nfds++] = mdev->record_fd;
	if (mdev->in_use && vfio_session_client(mdev->session, &peer))
		client = json_pack("{s:I,s:I,s:I}", "pid", (json_int_t)peer.pid, "uid",
				   (json_int_t)peer.uid, "since_ns",
				   (json_int_t)mdev->client_since_ns);
	r = link_notify(&mdev->parent->link, LINK_MDEV,
			json_pack("{s:s,s:i,s:b,s:o,s:I}", "uuid", mdev->uuid, "endpoints",
				  (int)mdev->endpoint_count, "asked",
				  mdev->asked && !mdev->join && !mdev->ask_again, "client", client,
				  "kept", (json_int_t)mdev->page.header->kept),
			fds, nfds);
	if (r < 0)
		return r;
	host_handover_each_fd(mdev, handover_slot, &slots);
	handover_flush(&slots);
	return slots.error;
}

/* The first mdev after that of @after (NULL: of all), or NULL. */
static struct umdev_mdev *handover_next(struct umdev_parent *parent, const char *after)
{
	struct umdev_mdev *mdev;
	bool found = !after;

	list_for_each (mdev, &parent->mdevs, link) {
		if (found)
			return mdev;
		found = strcmp(mdev->uuid, after) == 0;
	}
	return NULL;
}

void host_handover_on_next(struct umdev_parent *parent, uint64_t id, json_t *params, int *fds,
			   size_t nfds)
{
	struct umdev_mdev *mdev =
		handover_next(parent, json_string_value(json_object_get(params, "after")));
	struct umdev_error err = {0};
	int r;

	if (!mdev) {
		link_reply(&parent->link, id, NULL);
		list_for_each (mdev, &parent->mdevs, link)
			host_group_ask_again(mdev);
		return;
	}
	r = handover_tell_mdev(mdev);
	if (r == 0) {
		link_reply(&parent->link, id, json_pack("{s:s}", "uuid", mdev->uuid));
		return;
	}
	error_set(&err, ERROR_INTERNAL, "mdev %s cannot be handed over: %s", mdev->uuid,
		  strerror(-r));
	link_reply_error(&parent->link, id, &err);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

int host_handover_init(struct umdev_parent *parent, int listen_fd, uint64_t orphan_ns)
{
	struct host_handover *h = calloc(1, sizeof(*h));
	struct ucred broker;
	socklen_t len = sizeof(broker);
	int r;

	if (!h) {
		close(listen_fd);
		return -ENOMEM;
	}
	h->parent = parent;
	h->record_fd = -1;
	h->orphan_ns = orphan_ns;
	h->timer.expired = handover_look;
	h->listener.fd = listen_fd;
	h->listener.events = EPOLLIN;
	h->listener.ready = handover_accept;
	parent->handover = h;
	if (getsockopt(parent->link.source.fd, SOL_SOCKET, SO_PEERCRED, &broker, &len) < 0)
		return -errno;
	h->broker_uid = broker.uid;
	r = fd_set_nonblock(listen_fd, true);
	/* Here and not by the broker: who connects is told the process that listens. */
	if (r == 0 && listen(listen_fd, HANDOVER_BACKLOG) < 0)
		r = -errno;
	return r == 0 ? reactor_fd_add(parent->reactor, &h->listener) : r;
}

void host_handover_listen(struct umdev_parent *parent, bool on)
{
	struct host_handover *h = parent->handover;

	if (!h || h->listener.fd < 0)
		return;
	reactor_fd_del(parent->reactor, &h->listener);
	if (on && reactor_fd_add(parent->reactor, &h->listener) < 0)
		umdev_log(LOG_WARNING, parent->name, "host.link", "no other broker can be heard");
}

void host_handover_opened(struct umdev_parent *parent, json_t *params, int *record)
{
	struct host_handover *h = parent->handover;

	if (!h)
		return;
	json_decref(h->values);
	h->values = json_deep_copy(json_object_get(params, "values"));
	fd_close(&h->record_fd);
	if (record)
		h->record_fd = umdev_steal_fd(record);
}

void host_handover_end(struct umdev_parent *parent)
{
	struct host_handover *h = parent->handover;

	if (!h)
		return;
	reactor_timer_cancel(parent->reactor, &h->timer);
	reactor_fd_del(parent->reactor, &h->listener);
	fd_close(&h->listener.fd);
}

void host_handover_done(struct umdev_parent *parent)
{
	if (!parent->handover)
		return;
	host_handover_end(parent);
	json_decref(parent->handover->values);
	fd_close(&parent->handover->record_fd);
	free(umdev_steal_ptr(&parent->handover));
}
