/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changing attributes of an active mdev: all of them, or none.
 *
 * What differs between what it runs as and what it shall run as is sent to the host step by step:
 * the knobs, which are one message, then the attributes of the driver one by one. When a step is
 * refused, those before it are set back.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <umdev/driver.h>

#include "broker/client.h"
#include "broker/journal.h"
#include "broker/mdev.h"
#include "broker/place.h"
#include "link/protocol.h"
#include "util/log.h"

struct live {
	struct mdev *mdev;
	struct definition *next;
	struct api_call *call;
	void (*then)(struct mdev *mdev, struct api_call *call);
	size_t at;	/* step: 0 are the knobs, n is row n - 1 of the driver's table */
	bool backwards; /* setting back */
	bool redefines; /* then() writes the definition */
	bool noted;	/* the record says that it is under way */
	struct umdev_error err;
};

static void live_step(struct live *live);

/* The value of a row in a definition: given, or the default. */
static const char *live_value(const struct definition *d, const struct spec *spec)
{
	const char *value = definition_attr(d, spec->name);

	return value ? value : spec->default_value;
}

static bool live_differs(const struct definition *a, const struct definition *b,
			 const struct spec *spec)
{
	const char *of_a = live_value(a, spec);
	const char *of_b = live_value(b, spec);

	if (!of_a || !of_b)
		return of_a != of_b;
	if (spec->kind == SPEC_KIND_UUID)
		return strcasecmp(of_a, of_b) != 0;
	return strcmp(of_a, of_b) != 0;
}

static int live_check_row(const struct mdev *mdev, const struct definition *next,
			  const struct spec *spec, struct umdev_error *err)
{
	char who[CLIENT_TEXT_SIZE];

	if (!live_differs(mdev->running, next, spec) || spec->when == UMDEV_WHEN_LIVE)
		return 0;
	if (spec->when == UMDEV_WHEN_CREATE || spec->when == SPEC_WHEN_NEVER)
		return error_set_key(err, ERROR_DEVICE_BUSY, spec->name,
				     "%s cannot change while %s is active: change the definition "
				     "and start it again",
				     spec->name, mdev->uuid);
	if (mdev->in_use)
		return error_set_key(err, ERROR_DEVICE_BUSY, spec->name,
				     "%s cannot change while %s is in use by %s: end that first",
				     spec->name, mdev->uuid, client_text(mdev, who));
	return 0;
}

static int live_check(const struct mdev *mdev, const struct definition *next,
		      struct umdev_error *err)
{
	const struct spec_table *tables[] = {spec_standard(), &mdev->parent->attr_specs};

	if (next->type_id && strcmp(next->type_id, mdev->running->type_id) != 0)
		return error_set_key(err, ERROR_DEVICE_BUSY, "mdev_type",
				     "the type of %s cannot change while it is active", mdev->uuid);
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			int r = live_check_row(mdev, next, &tables[t]->rows[i], err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Whether @step has something to change. */
static bool live_has_step(const struct live *live, size_t step)
{
	const struct mdev *mdev = live->mdev;
	struct knobs running;
	struct knobs next;

	if (step > 0)
		return live_differs(mdev->running, live->next,
				    &mdev->parent->attr_specs.rows[step - 1]);
	knobs_read(mdev->running, &running);
	knobs_read(live->next, &next);
	return !knobs_equal(&running, &next);
}

static void live_replied(void *arg, json_t *result, const struct umdev_error *err);

/* Asks the host for what @step sets in @to. */
static int live_send(struct live *live, size_t step, const struct definition *to)
{
	struct mdev *mdev = live->mdev;
	const struct spec *spec;
	json_t *params;

	if (step == 0) {
		params = mdev_print_knobs(to);
		if (!params || json_object_set_new(params, "uuid", json_string(mdev->uuid)) < 0) {
			json_decref(params);
			return -ENOMEM;
		}
		return parent_call(mdev->parent, LINK_QOS, params, live_replied, live);
	}
	spec = &mdev->parent->attr_specs.rows[step - 1];
	return parent_call(mdev->parent, LINK_ATTR,
			   json_pack("{s:s,s:s,s:s}", "uuid", mdev->uuid, "name",
				     spec_local_name(spec), "value", live_value(to, spec)),
			   live_replied, live);
}

/* All steps are through, or the host is gone. */
static void live_end(struct live *live)
{
	struct mdev *mdev = live->mdev;

	mdev->changing = false;
	mdev->changing_to = NULL;
	if (live->err.word != ERROR_NONE) {
		journal_settled(mdev);
		api_fail(live->call, &live->err);
	} else {
		if (live->redefines)
			journal_redefines(mdev, live->next);
		definition_free(mdev->running);
		mdev->running = umdev_steal_ptr(&live->next);
		if (!live->redefines)
			journal_settled(mdev);
		mdev_event(mdev, "mdev.modified", LOG_INFO, "attributes changed while active");
		live->then(mdev, live->call);
		/* Unless it is being set back by now. */
		if (live->redefines && !mdev->changing)
			journal_settled(mdev);
	}
	definition_free(live->next);
	free(live);
}

/* The host refused the step that is under way: why, of which mdev, and what. */
static void live_refused(struct live *live, const struct umdev_error *err)
{
	const struct mdev *mdev = live->mdev;

	live->err = *err;
	live->backwards = true;
	live->at--; /* this one was not set */
	if (strstr(err->message, mdev->uuid))
		return;
	if (live->at > 0)
		error_wrap(&live->err, "mdev %s: %s", mdev->uuid,
			   mdev->parent->attr_specs.rows[live->at - 1].name);
	else
		error_wrap(&live->err, "mdev %s", mdev->uuid);
}

static void live_replied(void *arg, json_t *result, const struct umdev_error *err)
{
	struct live *live = arg;

	if (!result && live->err.word == ERROR_NONE)
		live_refused(live, err);
	if (!result && err->word == ERROR_HOST_FAILED) {
		live_end(live);
		return;
	}
	live_step(live);
}

/* Sends the next step that changes something; going back, what was set before. */
static void live_step(struct live *live)
{
	struct mdev *mdev = live->mdev;
	size_t count = mdev->parent->attr_specs.count + 1;

	while (live->backwards ? live->at > 0 : live->at < count) {
		size_t step = live->backwards ? --live->at : live->at++;
		int r;

		if (!live_has_step(live, step))
			continue;
		if (!live->noted)
			journal_changing(mdev);
		live->noted = true;
		r = live_send(live, step, live->backwards ? mdev->running : live->next);
		if (r == 0)
			return;
		if (live->err.word != ERROR_NONE)
			continue;
		error_set(&live->err, ERROR_HOST_FAILED, "the host of %s cannot be asked: %s",
			  mdev->parent_name, strerror(-r));
		live->backwards = true;
		live->at--; /* this one was not set */
	}
	live_end(live);
}

/* What names and owns the device stays as it is. */
static int live_keep_identity(const struct definition *running, struct definition *next)
{
	int r = definition_set_type(next, running->type_id, running->type_name);

	if (r == 0)
		r = definition_set_owner(next, running->owner);
	next->has_uid = running->has_uid;
	next->uid = running->uid;
	return r;
}

static int live_new(struct mdev *mdev, struct definition *next, struct live **ret_live,
		    struct umdev_error *err)
{
	struct live *live = calloc(1, sizeof(*live));

	if (!live || live_keep_identity(mdev->running, next) < 0) {
		free(live);
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	live->mdev = mdev;
	live->next = next;
	*ret_live = live;
	return 0;
}

int mdev_change_live(struct mdev *mdev, struct definition *next, struct api_call *call,
		     void (*then)(struct mdev *mdev, struct api_call *call), bool redefines,
		     struct umdev_error *err)
{
	struct live *live = NULL;
	int r = 0;

	if (mdev->state != MDEV_ACTIVE)
		r = error_set(err, mdev->state == MDEV_IDLE ? ERROR_NOT_ACTIVE : ERROR_DEVICE_BUSY,
			      "mdev %s is %s", mdev->uuid,
			      mdev->state == MDEV_IDLE ? "not active"
						       : mdev_state_name(mdev->state));
	else if (mdev->changing)
		r = error_set(err, ERROR_DEVICE_BUSY, "mdev %s is being changed: try again",
			      mdev->uuid);
	if (r == 0)
		r = definition_check_attrs(next, &mdev->parent->attr_specs, mdev->parent->driver,
					   err);
	if (r == 0)
		r = knobs_check(next, &mdev->parent->types.types[mdev->type_index], mdev->uuid,
				err);
	if (r == 0)
		r = live_check(mdev, next, err);
	if (r == 0)
		r = place_check_change(mdev, next, err);
	if (r == 0)
		r = live_new(mdev, next, &live, err);
	if (r < 0 || !live) {
		definition_free(next);
		return r;
	}
	live->call = call;
	live->then = then;
	live->redefines = redefines;
	mdev->changing = true;
	mdev->changing_to = next;
	live_step(live);
	return 0;
}
