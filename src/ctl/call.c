/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls to the daemon, through libumdev. */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

/* The last error of the client (NULL: of the last connect). */
static void call_error(const struct umdev_client *client, struct umdev_error *err)
{
	error_set_key(err, error_word_parse(umdev_client_error_word(client)),
		      umdev_client_error_key(client), "%s", umdev_client_error_message(client));
}

int ctl_connect_quiet(struct ctl *ctl)
{
	if (ctl->client)
		return CTL_OK;
	return umdev_client_connect(ctl->root, &ctl->client) < 0 ? CTL_FAILED : CTL_OK;
}

int ctl_connect(struct ctl *ctl)
{
	struct umdev_error err = {0};

	if (ctl_connect_quiet(ctl) == CTL_OK)
		return CTL_OK;
	call_error(NULL, &err);
	return ctl_fail(ctl, &err);
}

int ctl_call(struct ctl *ctl, const char *method, json_t *params, json_t **ret_result)
{
	umdev_autofree char *text = NULL;
	struct umdev_error err = {0};
	char *answer = NULL;
	int r;

	if (params)
		text = json_dumps(params, JSON_COMPACT);
	json_decref(params);
	if (params && !text)
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the request");
	r = ctl_connect(ctl);
	if (r != CTL_OK)
		return r;
	if (umdev_client_call(ctl->client, method, text, &answer) < 0) {
		call_error(ctl->client, &err);
		return ctl_fail(ctl, &err);
	}
	if (ret_result) {
		*ret_result = json_loads(answer, JSON_DECODE_ANY, NULL);
		r = *ret_result ? CTL_OK
				: ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the answer");
	}
	umdev_client_free_text(answer);
	return r;
}

void ctl_put_text(json_t *params, const char *key, const char *value)
{
	if (value)
		json_object_set_new(params, key, json_string(value));
}

void ctl_put_flag(json_t *params, const char *key, bool on)
{
	if (on)
		json_object_set_new(params, key, json_true());
}
