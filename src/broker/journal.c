/* SPDX-License-Identifier: BSD-3-Clause */
/* See journal.h. */
#include "broker/journal.h"

#include <errno.h>
#include <string.h>

#include "broker/group.h"
#include "broker/record.h"
#include "broker/stored.h"
#include "util/log.h"

/* What every record of an mdev says. */
static json_t *journal_print(const struct mdev *mdev, const struct definition *definition)
{
	json_t *client = NULL;

	if (mdev->in_use)
		client = json_pack("{s:I,s:I,s:I}", "pid", (json_int_t)mdev->client_pid, "uid",
				   (json_int_t)mdev->client_uid, "since_ns",
				   (json_int_t)mdev->client_since_ns);
	return json_pack("{s:o,s:I,s:I,s:b,s:s,s:o*,s:b}", "definition",
			 definition_print(definition), "number", (json_int_t)mdev->number,
			 "since_ns", (json_int_t)mdev->counts_since_ns, "claimed", mdev->claimed,
			 "parent", mdev->parent_name, "client", client, "asked",
			 mdev->client.pid != 0);
}

/* Writes @record (stolen). */
static int journal_write(struct mdev *mdev, json_t *record)
{
	int r = mdev->keeper.record_fd < 0 ? -EBADF : record_write(mdev->keeper.record_fd, record);

	json_decref(record);
	if (r < 0)
		umdev_log(LOG_WARNING, mdev->uuid, "mdev.record", "not written: %s", strerror(-r));
	return r;
}

int journal_begin(struct mdev *mdev, struct umdev_error *err)
{
	json_t *record = journal_print(mdev, mdev->running);
	int r = 0;

	if (mdev->keeper.record_fd < 0) {
		r = record_new();
		mdev->keeper.record_fd = r;
	}
	if (r >= 0 && record)
		json_object_set_new(record, "with",
				    mdev->start ? group_start_print(mdev->start)
						: json_pack("[s]", mdev->uuid));
	if (r >= 0)
		r = journal_write(mdev, umdev_steal_ptr(&record));
	json_decref(record);
	if (r < 0)
		return error_set(err, error_word_from_errno(r), "cannot make the record of %s: %s",
				 mdev->uuid, strerror(-r));
	return 0;
}

void journal_settled(struct mdev *mdev)
{
	(void)journal_write(mdev, journal_print(mdev, mdev->running));
}

void journal_changing(struct mdev *mdev)
{
	json_t *record = journal_print(mdev, mdev->running);

	if (record)
		json_object_set_new(record, "changing", json_true());
	(void)journal_write(mdev, record);
}

void journal_redefines(struct mdev *mdev, const struct definition *next)
{
	json_t *record = journal_print(mdev, next);

	if (record) {
		json_object_set_new(record, "changing", json_true());
		json_object_set_new(record, "was", definition_print(mdev->running));
		json_object_set_new(record, "before",
				    mdev->definition ? definition_print(mdev->definition)
						     : json_null());
	}
	(void)journal_write(mdev, record);
}

/* ---- Parents --------------------------------------------------------------------------------- */

void journal_parent(struct parent *parent)
{
	json_t *record;
	int r;

	if (parent->record_fd < 0)
		return;
	record = json_pack("{s:b,s:I,s:I,s:O}", "autostarted", parent->autostarted, "restarts",
			   (json_int_t)parent->restarts, "started_ns",
			   (json_int_t)(parent->host ? host_started_ns(parent->host) : 0),
			   "remakes", parent->remakes);
	if (record && parent->broker->fdstore)
		stored_describe(parent, record);
	r = record_write(parent->record_fd, record);
	json_decref(record);
	if (r < 0)
		umdev_log(LOG_WARNING, parent->name, "parent.record", "not written: %s",
			  strerror(-r));
}

int journal_parent_new(struct parent *parent)
{
	if (parent->record_fd < 0)
		parent->record_fd = record_new();
	if (parent->record_fd < 0)
		return parent->record_fd;
	journal_parent(parent);
	return 0;
}

void journal_remakes(struct mdev *mdev)
{
	json_object_set_new(mdev->parent->remakes, mdev->uuid, definition_print(mdev->running));
	journal_parent(mdev->parent);
}

void journal_remade(struct mdev *mdev)
{
	if (json_object_del(mdev->parent->remakes, mdev->uuid) == 0)
		journal_parent(mdev->parent);
}

void journal_autostarted(struct parent *parent)
{
	if (parent->autostarted || parent->state != PARENT_READY || parent->autostarting > 0 ||
	    parent->broker->booting > 0)
		return;
	parent->autostarted = true;
	journal_parent(parent);
}
