/* SPDX-License-Identifier: BSD-3-Clause */
/* See convert.h. */
#include "broker/convert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker/upgrade.h"
#include "link/protocol.h"
#include "util/clock.h"
#include "util/fd.h"

/* Of one page. VMMs wait 5 s for an answer, and the old host may have to go on within them. */
#define CONVERT_TIMEOUT_NS (2 * NS_PER_S)
/* What the host is asked at once, so that none waits long for those before it. */
#define CONVERT_AT_ONCE 16

/* How state pages are laid out. */
struct convert_layout {
	uint32_t version;
	uint32_t from; /* what the driver converts; version: nothing */
	uint64_t page_size;
	const char *rest; /* of all but the driver's part; NULL: not told */
};

static struct convert_layout convert_layout(const struct parent *parent)
{
	return (struct convert_layout){
		.version = parent->state_version,
		.from = parent->state_from,
		.page_size = parent->page_size,
		.rest = json_string_value(json_object_get(parent->hello, "page_layout")),
	};
}

static bool convert_same(const struct convert_layout *a, const struct convert_layout *b)
{
	return a->version == b->version && a->page_size == b->page_size;
}

/* Whether a host that lays out pages as @to takes those of one that does it as @was. */
static int convert_check_layouts(const struct parent *parent, const struct convert_layout *was,
				 const struct convert_layout *to, struct umdev_error *err)
{
	char way[128] = "cannot convert it: stop the mdevs first";

	if (was->rest && to->rest && strcmp(was->rest, to->rest) != 0)
		return error_set(err, ERROR_INVALID,
				 "umdev-host on disk lays out state pages as version %.24s, the "
				 "running one as version %.24s, and only the part of the driver is "
				 "ever converted: stop the mdevs first",
				 to->rest, was->rest);
	if (convert_same(was, to) || (was->version >= to->from && was->version < to->version))
		return 0;
	if (was->version < to->from && to->from < to->version)
		snprintf(way, sizeof(way),
			 "cannot convert it, but from version %u on: upgrade to a driver in "
			 "between first, or stop the mdevs",
			 to->from);
	return error_set(err, ERROR_INVALID,
			 "driver %s on disk lays out the state of mdevs as version %u in %llu "
			 "bytes, the running one as version %u in %llu, and %s",
			 parent->driver, to->version, (unsigned long long)to->page_size,
			 was->version, (unsigned long long)was->page_size, way);
}

bool convert_needed(const struct mdev *mdev)
{
	return mdev->keeper.page_size != mdev->parent->page_size ||
	       mdev->keeper.state_version != mdev->parent->state_version;
}

int convert_check(const struct mdev *mdev, struct umdev_error *err)
{
	struct convert_layout to = convert_layout(mdev->parent);
	struct convert_layout was = {
		.version = mdev->keeper.state_version,
		.page_size = mdev->keeper.page_size,
	};

	return convert_check_layouts(mdev->parent, &was, &to, err);
}

int convert_check_hello(const struct parent *parent, json_t *hello, struct umdev_error *err)
{
	struct convert_layout was = convert_layout(parent);
	struct convert_layout to = {
		.rest = json_string_value(json_object_get(hello, "page_layout"))};
	const struct mdev *mdev;
	json_int_t version = 0;
	json_int_t from = -1;
	json_int_t size = 0;

	if (json_unpack(hello, "{s:{s?I,s:I,s?I}}", "driver", "state_version", &version,
			"page_size", &size, "state_from", &from) < 0 ||
	    version < 0 || version > UINT32_MAX || size <= 0)
		return error_set(err, ERROR_DRIVER_FAILED, "its host says a malformed hello");
	to.version = (uint32_t)version;
	to.from = from >= 0 && from < version ? (uint32_t)from : to.version;
	to.page_size = (uint64_t)size;
	list_for_each (mdev, &parent->broker->mdevs, link) {
		if (mdev->parent == parent && mdev->keeper.page_fd >= 0 &&
		    mdev->state != MDEV_FAILED)
			return convert_check_layouts(parent, &was, &to, err);
	}
	return 0;
}

const char *convert_told(const struct parent *parent, char *text, size_t size)
{
	text[0] = '\0';
	if (parent->state_from < parent->state_version)
		snprintf(text, size, " and converts those from version %u on", parent->state_from);
	return text;
}

int convert_send(struct mdev *mdev, link_reply_fn *reply)
{
	struct parent *parent = mdev->parent;
	struct keeper *keeper = &mdev->keeper;
	struct host_request request = {
		.method = LINK_CONVERT, .nfds = 2, .timeout_ns = CONVERT_TIMEOUT_NS};
	int r = parent->host ? keeper_page_next(keeper, parent->page_size) : -ENOTCONN;
	int fds[] = {keeper->page_fd, keeper->next_page_fd};

	if (r < 0)
		return r;
	request.fds = fds;
	request.params =
		json_pack("{s:s,s:b}", "uuid", mdev->uuid, "doubt", parent_near_end(parent));
	return host_call(parent->host, &request, reply, mdev);
}

/* ---- All of a parent ------------------------------------------------------------------------- */

static void convert_step(struct parent *parent);

static void convert_replied(void *arg, json_t *result, const struct umdev_error *err)
{
	struct mdev *mdev = arg;
	struct parent *parent = mdev->parent;

	parent->returning--;
	if (!upgrade_converts(parent))
		return;
	if (result)
		convert_step(parent);
	else if (err->word != ERROR_HOST_FAILED) /* else its death goes on from there */
		upgrade_mdev_refused(mdev, err);
}

/* Puts all that was made in its place. */
static void convert_commit(struct parent *parent)
{
	struct mdev *mdev;
	unsigned count = 0;

	list_for_each (mdev, &parent->broker->mdevs, link) {
		if (mdev->parent != parent || mdev->keeper.next_page_fd < 0)
			continue;
		keeper_page_swap(&mdev->keeper, parent->state_version);
		count++;
	}
	upgrade_converted(parent, count);
}

static void convert_step(struct parent *parent)
{
	struct umdev_error err = {0};

	while (!list_empty(&parent->returns) && parent->returning < CONVERT_AT_ONCE) {
		struct mdev *mdev = list_first(&parent->returns, struct mdev, return_link);
		int r;

		list_del(&mdev->return_link);
		r = convert_send(mdev, convert_replied);
		if (r < 0) {
			error_set(&err, ERROR_INTERNAL, "its state page cannot be converted: %s",
				  strerror(-r));
			upgrade_mdev_refused(mdev, &err);
			return;
		}
		parent->returning++;
	}
	if (parent->returning == 0)
		convert_commit(parent);
}

void convert_all(struct parent *parent)
{
	struct mdev *mdev;

	convert_forget(parent);
	list_for_each (mdev, &parent->broker->mdevs, link) {
		if (mdev->parent != parent || mdev->state != MDEV_RESTARTING ||
		    mdev->keeper.page_fd < 0 || !convert_needed(mdev))
			continue;
		list_del(&mdev->return_link);
		list_add_tail(&parent->returns, &mdev->return_link);
	}
	convert_step(parent);
}

void convert_forget(struct parent *parent)
{
	struct mdev *mdev;

	list_for_each (mdev, &parent->broker->mdevs, link) {
		if (mdev->parent == parent)
			fd_close(&mdev->keeper.next_page_fd);
	}
}
