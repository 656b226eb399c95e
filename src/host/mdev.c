/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of one mdev in the host: built whole or not at all, served to one client after another,
 * taken down when its driver has let go of guest memory.
 *
 *   create: page -> driver -> PCI -> BAR memory -> session (now clients can come)
 *   client leaves or is expelled: lost -> driver resets -> session drops mappings -> the next
 * client may come remove: expel if forced -> (lost, as above) -> session -> driver -> page
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "host/given.h"
#include "host/group.h"
#include "host/handover.h"
#include "host/host.h"
#include "host/inside.h"
#include "host/jobs.h"
#include "host/rest.h"
#include "host/save.h"
#include "util/clock.h"
#include "util/fault.h"
#include "util/fd.h"
#include "util/log.h"
#include "vfio/migrate.h"
#include "vfio/page.h"

/* The broker's end must take an fd within this time, or the request that brought it fails. */
#define KEEP_TIMEOUT_NS (2 * NS_PER_S)

/* Slots that one message takes back: far below what fits into it. */
#define DROPS_MAX 4096

/* How often a removal looks whether the last transfer into guest memory has ended. */
#define REMOVE_RETRY_NS (2 * NS_PER_MS)

static_assert(HOST_MDEVS_MAX <= VFIO_SESSIONS_MAX, "each has its part of what all share");
static_assert(VFIO_SLOT_STREAM == LINK_SLOT_STREAM, "the broker gives it");
static_assert(VFIO_SLOT_CONNECTION == LINK_SLOT_CONNECTION, "the broker looks at it");
static_assert(VFIO_SLOT_COUNT <= LINK_SLOT_COUNT, "the broker keeps every slot of a session");

/* ---- What the session asks ---- */

/* Tells the broker which slots are free again. */
static void mdev_flush_drops(struct umdev_mdev *mdev)
{
	json_t *slots = mdev->drops;

	reactor_task_del(mdev->parent->reactor, &mdev->drop);
	mdev->drops = NULL;
	if (!slots)
		return;
	mdev->page.header->kept++;
	/* A broker that cannot be told is gone, and its slots with it. */
	link_notify(&mdev->parent->link, LINK_DROP,
		    json_pack("{s:s,s:o,s:I}", "uuid", mdev->uuid, "slots", slots, "number",
			      (json_int_t)mdev->page.header->kept),
		    NULL, 0);
}

static void mdev_drop_task(struct reactor_task *task)
{
	mdev_flush_drops(container_of(task, struct umdev_mdev, drop));
}

int host_mdev_keep(struct umdev_mdev *mdev, uint32_t slot, int fd)
{
	int r;

	mdev_flush_drops(mdev); /* one of them may be this very slot */
	mdev->page.header->kept++;
	FAULT_POINT("keep.sending");
	r = link_notify_sync(&mdev->parent->link, LINK_KEEP,
			     json_pack("{s:s,s:[i],s:I}", "uuid", mdev->uuid, "slots", (int)slot,
				       "number", (json_int_t)mdev->page.header->kept),
			     &fd, 1, KEEP_TIMEOUT_NS);
	FAULT_POINT("keep.sent");
	/* The next broker gets it with everything else. */
	return host_handover_keeps(mdev->parent, r) ? 0 : r;
}

static int mdev_keep(void *device, uint32_t slot, int fd)
{
	return host_mdev_keep(device, slot, fd);
}

static void mdev_drop(void *device, uint32_t slot)
{
	struct umdev_mdev *mdev = device;

	/* A client that leaves frees thousands at once, and many leave together: one message each
	 * would be more than the link takes. */
	if (!mdev->drops)
		mdev->drops = json_array();
	json_array_append_new(mdev->drops, json_integer(slot));
	if (json_array_size(mdev->drops) >= DROPS_MAX) {
		mdev_flush_drops(mdev);
		return;
	}
	mdev->drop.run = mdev_drop_task;
	reactor_task_add(mdev->parent->reactor, &mdev->drop);
}

static int mdev_session_reset(void *device)
{
	struct umdev_mdev *mdev = device;
	int r = host_mdev_reset(mdev, UMDEV_RESET_DEVICE);

	if (r == -EINPROGRESS)
		mdev->pending = HOST_PENDING_RESET;
	return r;
}

static int mdev_admit(void *device, const struct ucred *peer, struct umdev_error *err)
{
	struct umdev_mdev *mdev = device;

	if (mdev->removing)
		return error_set(err, ERROR_NOT_ACTIVE, "mdev %s is being stopped", mdev->uuid);
	if (mdev->pending != HOST_PENDING_NONE)
		return error_set(err, ERROR_DEVICE_BUSY,
				 "mdev %s is still being reset after its host died: try again",
				 mdev->uuid);
	return mdev->group ? host_group_ask(mdev, peer, err) : 0;
}

static void mdev_left(void *device)
{
	host_group_unask(device);
}

static void mdev_resumed(void *device, const struct ucred *peer, bool joined)
{
	struct umdev_mdev *mdev = device;

	(void)peer;
	mdev->asked = mdev->group != NULL;
	mdev->in_use = joined;
	if (joined)
		mdev->client_since_ns = clock_wall_ns();
}

static void mdev_joined(void *device, const struct ucred *peer)
{
	struct umdev_mdev *mdev = device;
	char text[96];

	mdev->in_use = true;
	mdev->client_since_ns = clock_wall_ns();
	snprintf(text, sizeof(text), "client connected: pid %d, uid %u", peer->pid, peer->uid);
	host_event(mdev->parent, mdev, LOG_INFO, EVENT_CLIENT_CONNECTED, peer, text);
	if (mdev->created)
		driver_client_joined(&mdev->parent->driver, mdev->priv);
	else
		mdev->join_owed = true;
}

static int mdev_lost(void *device, const char *reason)
{
	struct umdev_mdev *mdev = device;
	int r;

	if (mdev->in_use) {
		mdev->in_use = false;
		host_event(mdev->parent, mdev, LOG_INFO, EVENT_CLIENT_DISCONNECTED, NULL, reason);
	}
	if (vfio_session_waits(mdev->session))
		return 0; /* it did not touch what was restored */
	r = host_mdev_reset(mdev, UMDEV_RESET_LOST);
	if (r == -EINPROGRESS)
		mdev->pending = HOST_PENDING_LOST;
	return r;
}

static void mdev_refused(void *device, const char *reason)
{
	struct umdev_mdev *mdev = device;

	if (host_event_allowed(mdev))
		host_event(mdev->parent, mdev, LOG_WARNING, EVENT_CLIENT_REFUSED, NULL, reason);
}

static const struct vfio_session_ops mdev_session_ops = {
	.region_access = host_region_access,
	.reset = mdev_session_reset,
	.keep = mdev_keep,
	.drop = mdev_drop,
	.admit = mdev_admit,
	.left = mdev_left,
	.resumed = mdev_resumed,
	.joined = mdev_joined,
	.lost = mdev_lost,
	.refused = mdev_refused,
	.rest = host_migrate_rest,
	.wake = host_migrate_wake,
	.save = host_migrate_save,
	.load = host_migrate_load,
	.check = host_migrate_check,
};

/* ---- Taking down ---- */

static void mdev_free(struct umdev_mdev *mdev)
{
	if (!mdev)
		return;
	host_mdev_quiet(mdev);
	host_rest_done(mdev);
	host_save_done(mdev);
	mdev_flush_drops(mdev);
	host_group_unask(mdev);
	vfio_session_free(mdev->session);
	mdev->session = NULL;
	if (mdev->created)
		driver_mdev_remove(&mdev->parent->driver, mdev->priv);
	host_mdev_leave(mdev);
	host_group_leave(mdev);
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		if (mdev->bar_memory[i])
			munmap(mdev->bar_memory[i], mdev->pci.device.bars[i].size);
		fd_close(&mdev->bar_fds[i]);
	}
	for (uint32_t i = 0; i < mdev->endpoint_count; i++)
		fd_close(&mdev->endpoints[i]);
	fd_close_all(mdev->kept_fds, ARRAY_SIZE(mdev->kept_fds));
	fd_close(&mdev->record_fd);
	page_close(&mdev->page);
	json_decref(mdev->attrs);
	free(mdev);
}

void host_mdev_free(struct umdev_mdev *mdev)
{
	/* Its client stays one of the group. */
	host_group_forget(mdev);
	mdev_free(mdev);
}

/* Ends a removal that waited for the client to be gone. */
static void mdev_finish_remove(struct umdev_mdev *mdev)
{
	struct umdev_parent *parent = mdev->parent;
	uint64_t id = mdev->remove_id;

	list_del(&mdev->link);
	parent->mdev_count--;
	mdev_free(mdev);
	link_reply(&parent->link, id, NULL);
	host_handover_removed(parent);
	host_mdev_gone(parent);
}

static void mdev_remove_step(struct reactor_timer *timer)
{
	struct umdev_mdev *mdev = container_of(timer, struct umdev_mdev, finish);

	if (mdev->pending != HOST_PENDING_NONE)
		return; /* reset_done() goes on from here */
	if (vfio_session_client(mdev->session, NULL) || mdev->save) {
		/* Guest memory is held by an operation on its way; nothing tells of its end. */
		reactor_timer_set(mdev->parent->reactor, &mdev->finish,
				  clock_now_ns() + REMOVE_RETRY_NS);
		return;
	}
	mdev_finish_remove(mdev);
}

/* The session may not be freed from within its own callbacks: the end of a removal comes from the
 * loop. */
static void mdev_finish_later(struct umdev_mdev *mdev)
{
	mdev->finish.expired = mdev_remove_step;
	reactor_timer_set(mdev->parent->reactor, &mdev->finish, clock_now_ns());
}

void host_mdev_reset_done(struct umdev_mdev *mdev)
{
	if (mdev->pending == HOST_PENDING_NONE)
		return;
	mdev->pending = HOST_PENDING_NONE;
	vfio_session_complete(mdev->session, 0);
	if (mdev->removing)
		mdev_finish_later(mdev);
}

int host_mdev_remove(struct umdev_mdev *mdev, uint64_t id, bool force, struct umdev_error *err)
{
	if (mdev->removing)
		return error_set(err, ERROR_DEVICE_BUSY, "mdev %s is being stopped already",
				 mdev->uuid);
	if (!force && vfio_session_in_use(mdev->session))
		return error_set(err, ERROR_DEVICE_BUSY,
				 "mdev %s is in use: disconnect its client, or use --force",
				 mdev->uuid);
	mdev->removing = true;
	mdev->remove_id = id;
	/* Otherwise one that has hung up is served to its last message. */
	if (force)
		vfio_session_expel(mdev->session, "the operator stopped the mdev");
	mdev_finish_later(mdev);
	return 0;
}

struct umdev_mdev *host_mdev_find(struct umdev_parent *parent, const char *uuid)
{
	struct umdev_mdev *mdev;

	list_for_each (mdev, &parent->mdevs, link) {
		if (strcmp(mdev->uuid, uuid) == 0)
			return mdev;
	}
	return NULL;
}

/* ---- Building ---- */

/* Memory behind the mmap areas of a BAR, kept by the broker because clients keep using it. */
static int mdev_bar_memory(struct umdev_mdev *mdev, uint32_t bar, struct host_given *given,
			   struct umdev_error *err)
{
	const struct umdev_bar *b = &mdev->pci.device.bars[bar];
	int *old = host_given_slot(given, VFIO_SLOT_BAR + bar);
	struct stat st;
	void *map;
	int fd;
	int r;

	if (b->mmap[0].size == 0 && b->mmap[1].size == 0)
		return 0;
	if (old && fstat(*old, &st) == 0 && (uint64_t)st.st_size == b->size)
		fd = umdev_steal_fd(old);
	else
		old = NULL;
	if (!old)
		fd = fd_memfd("umdev-bar", b->size);
	if (fd < 0)
		return error_set(err, ERROR_NO_MEMORY, "memory of BAR %u: %s", bar, strerror(-fd));
	mdev->bar_fds[bar] = fd;
	map = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return error_set(err, ERROR_NO_MEMORY, "memory of BAR %u: %s", bar,
				 strerror(errno));
	mdev->bar_memory[bar] = map;
	if (old)
		return 0;
	r = mdev_keep(mdev, VFIO_SLOT_BAR + bar, fd);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "the broker does not keep BAR %u: %s", bar,
				 strerror(-r));
	return 0;
}

/* What the client is told: regions and interrupts of the function that pci laid out. */
static void mdev_session_info(const struct umdev_mdev *mdev, struct vfio_device_info *ret_info)
{
	const struct umdev_device *d = &mdev->pci.device;

	memset(ret_info, 0, sizeof(*ret_info));
	ret_info->name = mdev->uuid;
	for (uint32_t i = 0; i < VFIO_REGION_COUNT; i++)
		ret_info->regions[i].fd = -1;
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		struct vfio_region *region = &ret_info->regions[i];

		if (d->bars[i].size == 0)
			continue;
		region->size = d->bars[i].size;
		region->flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE;
		for (uint32_t a = 0; a < UMDEV_MMAP_COUNT; a++) {
			if (d->bars[i].mmap[a].size == 0)
				continue;
			region->areas[region->area_count].offset = d->bars[i].mmap[a].offset;
			region->areas[region->area_count++].size = d->bars[i].mmap[a].size;
			region->flags |= VFIO_REGION_MAPPABLE;
			region->fd = mdev->bar_fds[i];
		}
	}
	ret_info->regions[VFIO_REGION_CONFIG].size = mdev->pci.config_size;
	ret_info->regions[VFIO_REGION_CONFIG].flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE;
	ret_info->irq_counts[VFIO_IRQ_INTX] = d->interrupt_pin ? 1 : 0;
	ret_info->irq_counts[VFIO_IRQ_MSI] = d->msi_vectors;
	ret_info->irq_counts[VFIO_IRQ_MSIX] = d->msix_vectors;
	ret_info->irq_counts[VFIO_IRQ_ERR] = (d->flags & UMDEV_PCI_EXPRESS) ? 1 : 0;
	ret_info->irq_counts[VFIO_IRQ_REQ] = 1;
	if (host_rest_possible(mdev->parent, NULL) == 0)
		ret_info->stream_max = image_max(mdev);
}

/* Whether the driver can go on from the state that an earlier process left. */
static bool mdev_goes_on(const struct umdev_mdev *mdev, const struct host_create *create)
{
	return create->resume &&
	       !(mdev->parent->driver.table.flags & UMDEV_DRIVER_RESET_ON_RESTART);
}

/* What the driver's part of the page is. Of a load that an earlier process was in the middle of
 * nothing can be used. */
static uint32_t mdev_origin(struct umdev_mdev *mdev, const struct host_create *create)
{
	bool loading = create->resume && vfio_page_loading(mdev->page.session);

	if (create->restore || (mdev_goes_on(mdev, create) && !loading))
		return UMDEV_STATE_RESUME;
	if (loading)
		host_rest_blank(mdev);
	else if (create->resume)
		memset(mdev->page.driver, 0, mdev->parent->driver.table.state_size);
	return UMDEV_STATE_NEW;
}

static int mdev_build_device(struct umdev_mdev *mdev, const struct host_create *create,
			     struct umdev_error *err)
{
	struct umdev_parent *parent = mdev->parent;
	struct umdev_device device;
	int r = host_mdev_instance(mdev, create->values, mdev_origin(mdev, create), &device, err);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		if (device.bars[i].size > 0 && !parent->driver.table.region_read)
			return error_set(
				err, ERROR_DRIVER_FAILED,
				"driver %s declares a BAR and lacks region_read and region_write",
				parent->driver.table.name);
	}
	r = pci_init(&mdev->pci, &device, mdev->page.pci, !create->resume || mdev->blank, err);
	if (r < 0)
		return error_wrap(err, "driver %s", parent->driver.table.name);
	return 0;
}

/* The device has begun anew under its client, for its driver can do no better. The guest's driver
 * finds it reset. No error is signalled to the client: QEMU would stop the machine. */
static void mdev_tell_reset(struct umdev_mdev *mdev)
{
	if (!(mdev->parent->driver.table.flags & UMDEV_DRIVER_RESET_ON_RESTART))
		return;
	host_event(mdev->parent, mdev, LOG_WARNING, EVENT_DRIVER, NULL,
		   "its driver cannot go on from a state: the device was reset under its client");
}

/* After another host: has dropped what nobody used, and sets back a device whose client is gone. */
static void mdev_resume(struct umdev_mdev *mdev, struct host_given *given)
{
	bool client = vfio_session_client(mdev->session, NULL);
	bool arriving = vfio_session_arriving(mdev->session);
	bool had_client = false;

	for (size_t i = 0; given && i < given->count; i++) {
		uint32_t slot = given->rows[i].slot;
		bool of_client = slot == VFIO_SLOT_CONNECTION || slot == VFIO_SLOT_STREAM ||
				 slot >= VFIO_SLOT_MEMORY;

		if (slot == VFIO_SLOT_CONNECTION && arriving)
			continue;
		if (slot == VFIO_SLOT_NEXT && given->rows[i].fd < 0)
			continue; /* it waits until the device has none */
		had_client |= slot == VFIO_SLOT_CONNECTION;
		if (given->rows[i].fd >= 0 || (of_client && !client))
			mdev_drop(mdev, slot);
	}
	if (client) {
		host_intx_update(mdev);
		mdev_tell_reset(mdev);
		return;
	}
	if (vfio_session_rests(mdev->session))
		return; /* it was restored, and waits for its first client */
	if (had_client)
		host_event(mdev->parent, mdev, LOG_WARNING, EVENT_CLIENT_DISCONNECTED, NULL,
			   "the client could not be served on after its host died");
	if (mdev->group) {
		mdev->asked = true;
		host_group_unask(mdev);
	}
	if (host_mdev_reset(mdev, UMDEV_RESET_LOST) == -EINPROGRESS)
		mdev->pending = HOST_PENDING_RESET;
}

/* The descriptors that the driver had kept. */
static void mdev_take_kept(struct umdev_mdev *mdev, struct host_given *given)
{
	for (uint32_t i = 0; i < VFIO_SLOT_DRIVER_MAX; i++) {
		int *fd = host_given_slot(given, VFIO_SLOT_DRIVER + i);

		if (fd)
			mdev->kept_fds[i] = umdev_steal_fd(fd);
	}
}

/* It begins anew, without its client. */
static void mdev_begin_anew(struct umdev_mdev *mdev, struct host_given *given, const char *why)
{
	int *connection = host_given_slot(given, VFIO_SLOT_CONNECTION);
	char text[160];

	page_renew(&mdev->page);
	/* To an empty page it would be one that has just come. */
	if (connection) {
		shutdown(*connection, SHUT_RDWR);
		fd_close(connection);
	}
	for (uint32_t i = 0; i < VFIO_SLOT_DRIVER_MAX; i++) {
		int *fd = host_given_slot(given, VFIO_SLOT_DRIVER + i);

		if (!fd)
			continue;
		fd_close(fd);
		mdev_drop(mdev, VFIO_SLOT_DRIVER + i);
	}
	snprintf(text, sizeof(text), "%s: it begins anew, without its client", why);
	host_event(mdev->parent, mdev, LOG_ERR, EVENT_DRIVER, NULL, text);
}

/* Whether nothing of the page and of what was kept may be gone on with. */
static bool mdev_is_doubtful(struct umdev_mdev *mdev, const struct host_create *create)
{
	struct page_header *header = mdev->page.header;

	/* Hosts die one after another, and the last one did in the midst of this mdev: what its
	 * client or its state makes them do must not cost the other mdevs of the parent their
	 * clients. */
	if (create->doubt && mdev->page.died_inside) {
		mdev_begin_anew(
			mdev, create->given,
			"hosts died one after another, the last in the midst of this device");
		return true;
	}
	if (create->stored && header->kept != create->kept) {
		for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
			int *fd = host_given_slot(create->given, VFIO_SLOT_BAR + i);

			if (fd)
				fd_close(fd);
		}
		mdev_begin_anew(mdev, create->given,
				"host and daemon died before all of it was stored");
		return true;
	}
	/* What an earlier host died over before it could tell the broker never happened. */
	header->kept = create->kept;
	return false;
}

static int mdev_build_rest(struct umdev_mdev *mdev, const struct host_create *create,
			   struct umdev_error *err)
{
	struct umdev_parent *parent = mdev->parent;
	umdev_auto(image_free) struct image image = {0};
	struct vfio_device_info info;
	int r = 0;

	if (create->resume)
		mdev_take_kept(mdev, create->given);
	if (create->restore)
		r = host_restore_begin(mdev, create->given, &image, err);
	if (r == 0)
		r = mdev_build_device(mdev, create, err);
	if (r == 0 && create->group)
		r = host_group_join(mdev, create->group, &create->group_knobs, err);
	if (r == 0)
		r = host_mdev_join(mdev, &create->knobs, err);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++) {
		r = mdev_bar_memory(mdev, i, create->given, err);
		if (r < 0)
			return r;
	}
	if (create->restore)
		r = host_restore_end(mdev, &image, err);
	if (r < 0)
		return r;
	mdev_session_info(mdev, &info);
	r = vfio_session_new(parent->reactor, &info, &mdev_session_ops, mdev, mdev->page.session,
			     umdev_steal_fd(create->listener),
			     create->given ? create->given->rows : NULL,
			     create->given ? create->given->count : 0, &mdev->session);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "serving %s: %s", mdev->uuid, strerror(-r));
	return 0;
}

static int mdev_build(struct umdev_mdev *mdev, const struct host_create *create,
		      struct umdev_error *err)
{
	const struct umdev_driver *table = &mdev->parent->driver.table;
	struct page_layout layout = {
		.driver = table->name,
		.uuid = mdev->uuid,
		.driver_version = table->state_version,
		.driver_size = table->state_size,
	};
	struct host_create now = *create;
	int r;

	r = page_open(&mdev->page, create->page_fd, &layout, create->resume, err);
	if (r < 0)
		return r;
	if (create->resume && mdev_is_doubtful(mdev, create))
		now.resume = false;
	host_mdev_in(mdev);
	r = mdev_build_rest(mdev, &now, err);
	if (r == 0 && create->resume)
		mdev_resume(mdev, create->given);
	if (r == 0 && vfio_session_rests(mdev->session) && host_rest(mdev, NULL) == -EBUSY)
		r = error_set(err, ERROR_INTERNAL, "%s cannot be kept at rest", mdev->uuid);
	host_mdev_out(mdev);
	return r;
}

int host_mdev_create(struct umdev_parent *parent, const struct host_create *create,
		     struct umdev_error *err)
{
	struct umdev_mdev *mdev;
	int r;

	if (host_mdev_find(parent, create->uuid))
		return error_set(err, ERROR_EXISTS, "mdev %s exists already", create->uuid);
	if (parent->mdev_count >= HOST_MDEVS_MAX)
		return error_set(err, ERROR_LIMIT, "parent %s has %u mdevs, the limit",
				 parent->name, HOST_MDEVS_MAX);
	mdev = calloc(1, sizeof(*mdev));
	if (!mdev)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	mdev->parent = parent;
	mdev->page.fd = -1;
	mdev->record_fd = create->record ? umdev_steal_fd(create->record) : -1;
	for (uint32_t i = 0; i < UMDEV_BAR_COUNT; i++)
		mdev->bar_fds[i] = -1;
	memset(mdev->kept_fds, -1, sizeof(mdev->kept_fds));
	snprintf(mdev->uuid, sizeof(mdev->uuid), "%s", create->uuid);
	mdev->type_index = create->type_index;
	mdev->piece_start = create->piece_start;
	mdev->piece_size = create->piece_size;
	mdev->attrs = json_incref(create->attrs);
	for (uint32_t i = 0; i < create->endpoint_count; i++)
		mdev->endpoints[mdev->endpoint_count++] = umdev_steal_fd(&create->endpoints[i]);
	r = mdev_build(mdev, create, err);
	if (r < 0) {
		mdev_free(mdev);
		return r;
	}
	list_add_tail(&parent->mdevs, &mdev->link);
	parent->mdev_count++;
	return 0;
}
