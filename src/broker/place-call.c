/* SPDX-License-Identifier: BSD-3-Clause */
/* Choosing a parent for a call that names none. See place.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker/place.h"
#include "broker/rpc-mdev.h"

/* An answer that gets one thing more. */
struct place_answer {
	void (*done)(struct api_call *call, json_t *result, const struct umdev_error *err);
	void *arg;
	json_t *placement;
};

static void place_answered(struct api_call *call, json_t *result, const struct umdev_error *err)
{
	struct place_answer *answer = call->arg;

	if (result)
		json_object_set(result, "placement", answer->placement);
	call->done = answer->done;
	call->arg = answer->arg;
	json_decref(answer->placement);
	free(answer);
	call->done(call, result, err);
}

/* The call goes on as if it had named @parent. */
static int place_take_choice(struct api_call *call, const char *parent, json_t *placement)
{
	struct place_answer *answer = calloc(1, sizeof(*answer));
	json_t *params = json_copy(call->params);

	if (!answer || !params || !placement ||
	    json_object_set_new(params, "parent", json_string(parent)) < 0) {
		free(answer);
		json_decref(params);
		json_decref(placement);
		return -ENOMEM;
	}
	json_decref(call->params);
	call->params = params;
	*answer = (struct place_answer){call->done, call->arg, placement};
	call->done = place_answered;
	call->arg = answer;
	return 0;
}

/* Whether the call is about something that has no parent yet and says what it shall be. */
static int place_is_needed(struct api_call *call, bool start, bool *ret_needed,
			   struct umdev_error *err)
{
	bool content = json_object_get(call->params, "definition") != NULL;
	struct mdev *defined = NULL;
	char uuid[IDENT_UUID_SIZE];
	int r = 0;

	*ret_needed = !api_text(call, "parent") &&
		      (content || api_text(call, "type") || api_text(call, "type_name"));
	if (!*ret_needed || !api_text(call, "uuid"))
		return 0;
	r = rpc_uuid_now(call, uuid, false, err);
	if (r == 0 && start && !content)
		r = rpc_find_definition(call->broker, uuid, NULL, &defined, err);
	if (r < 0)
		return r;
	/* Of an active mdev the definition takes the parent from that. */
	*ret_needed = start ? !defined : !mdev_find_active(call->broker, uuid);
	return 0;
}

static int place_read_policy(const struct api_call *call, bool needed, enum place_policy *ret,
			     struct umdev_error *err)
{
	const char *text = api_text(call, "placement");

	*ret = PLACE_SPREAD;
	if (!text)
		return 0;
	if (place_policy_parse(text, ret) < 0)
		return error_set_key(err, ERROR_INVALID, "placement",
				     "placement is 'spread' or 'pack', not '%.32s'", text);
	if (needed)
		return 0;
	return error_set_key(err, ERROR_INVALID, "placement",
			     "placement is for an mdev whose type is given and whose parent is "
			     "not: leave one of them out");
}

/* What the definition asks for. */
static int place_fill_want(struct api_call *call, bool start, const struct definition *d,
			   struct place_want *ret_want, struct umdev_error *err)
{
	struct place_want want = {
		.type_id = d->type_id,
		.type_name = d->type_name,
		.min_share = knobs_min_share(d),
		.starts = start,
	};

	snprintf(want.uuid, sizeof(want.uuid), "%.36s",
		 api_text(call, "uuid") ? api_text(call, "uuid") : "new");
	if (api_text(call, "uuid") && ident_uuid_parse(api_text(call, "uuid"), want.uuid) < 0)
		return error_set_key(err, ERROR_INVALID, "uuid", "'%.64s' is no UUID",
				     api_text(call, "uuid"));
	definition_group(d, want.group);
	memcpy(want.group_is.uuid, want.group, sizeof(want.group_is.uuid));
	place_fill_group(call->broker, &want.group_is);
	knobs_read(d, &want.knobs);
	*ret_want = want;
	return 0;
}

static int place_choose_for(struct api_call *call, const struct place_want *want,
			    enum place_policy policy, struct umdev_error *err)
{
	size_t rows = PLACE_ROWS_MAX;
	struct place_snapshot snapshot = {0};
	struct place_choice choice = {0};
	int r = place_take_snapshot(call->broker, &snapshot);

	if (r == 0)
		r = place_choose(&snapshot, want, policy, &choice);
	if (r == 0 && choice.best == SIZE_MAX) {
		*err = choice.why;
		r = -error_word_errno(err->word);
	} else if (r == 0) {
		r = place_take_choice(call,
				      snapshot.parents[choice.candidates[choice.best].parent].name,
				      place_print_choice(&snapshot, &choice, want, policy, &rows));
	}
	if (r == -ENOMEM)
		r = error_set(err, ERROR_NO_MEMORY, "out of memory");
	place_choice_done(&choice);
	place_snapshot_done(&snapshot);
	return r;
}

int place_call(struct api_call *call, bool start, struct umdev_error *err)
{
	struct definition *d = NULL;
	struct place_want want;
	enum place_policy policy;
	bool needed = false;
	int r = place_is_needed(call, start, &needed, err);

	if (r == 0)
		r = place_read_policy(call, needed, &policy, err);
	if (r < 0 || !needed)
		return r;
	r = rpc_new_definition(call, &d, err);
	if (r == 0)
		r = definition_check_attrs(d, NULL, NULL, err);
	if (r == 0)
		r = place_fill_want(call, start, d, &want, err);
	if (r == 0)
		r = place_choose_for(call, &want, policy, err);
	definition_free(d);
	return r;
}
