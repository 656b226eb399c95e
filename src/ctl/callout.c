/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order of scripts around a command, which is mdevctl's. See callout.h.
 *
 *   get/capabilities -> [live] -> pre -> the command -> post -> all notifiers
 *
 * The first callout that does not say "not my type" (status 2) is the one for this mdev. One that
 * answers get/capabilities is asked for nothing that it does not list, and only such a one takes
 * part in live changes. Notifiers are run always, and what they say does not matter.
 */
#include "ctl/callout.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/callout-run.h"
#include "util/clock.h"

#define CALLOUT_LIMIT_S	    30 /* for one script */
#define CALLOUT_SCRIPTS_MAX 256
#define CALLOUT_NOT_MINE    2 /* the exit status that says so */

static const char *const callout_dirs[] = {"usr/lib/mdevctl/scripts.d", "etc/mdevctl.d/scripts.d"};

static const char callout_provides[] =
	"{\"provides\":{\"version\":2,\"actions\":[\"start\",\"stop\",\"define\",\"undefine\","
	"\"modify\",\"attributes\",\"capabilities\"],\"events\":[\"pre\",\"post\",\"notify\","
	"\"get\",\"live\"]}}";

/* Paths of scripts in the order of their running. One that cannot be run is taken out. */
struct callout_list {
	char *paths[CALLOUT_SCRIPTS_MAX];
	size_t count;
};

/* One command on one mdev. */
struct callout {
	struct ctl *ctl;
	const char *action;
	const char *state; /* none, success or failure */
	bool force;
	bool done;	    /* what a script says now changes nothing */
	json_t *device;	    /* of callout_devices(); the caller's */
	char *definition;   /* as text */
	const char *chosen; /* the one callout for this mdev, once it is known */
	json_t *supports;   /* what it said that it supports, or NULL */
	struct callout_list callouts;
	struct callout_list notifiers;
	struct callout_result result; /* of the script that was run last */
};

/* ---- Finding --------------------------------------------------------------------------------- */

static int callout_is_file(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* Adds what is in one directory, sorted by name. A directory that is missing is fine. */
static void callout_find_in(struct callout_list *list, const char *dir)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, callout_is_file, alphasort);

	if (n < 0 && errno != ENOENT && errno != ENOTDIR)
		ctl_warn("cannot look for scripts in '%s': %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		char *path = NULL;

		if (list->count == CALLOUT_SCRIPTS_MAX)
			ctl_warn("there are more than %d scripts: '%s/%s' is skipped",
				 CALLOUT_SCRIPTS_MAX, dir, entries[i]->d_name);
		else if (asprintf(&path, "%s/%s", dir, entries[i]->d_name) >= 0)
			list->paths[list->count++] = path;
		free(entries[i]);
	}
	free(entries);
}

static void callout_find(const struct ctl *ctl, const char *kind, struct callout_list *list)
{
	const char *root = ctl->root ? ctl->root : getenv("UMDEV_ROOT");

	for (size_t i = 0; i < ARRAY_SIZE(callout_dirs); i++) {
		char dir[PATH_MAX];

		if (snprintf(dir, sizeof(dir), "%s/%s/%s", root ? root : "", callout_dirs[i],
			     kind) < (int)sizeof(dir))
			callout_find_in(list, dir);
	}
}

static void callout_list_done(struct callout_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->paths[i]);
	list->count = 0;
}

/* ---- One script ------------------------------------------------------------------------------ */

/* Repeats what the script said on standard error, after its name. */
static void callout_repeat(const struct callout *c, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	const char *text = c->result.complaint;

	while (*text) {
		size_t len = strcspn(text, "\n");

		fprintf(stderr, "%s: %.*s\n", name, (int)len, text);
		text += len + (text[len] == '\n');
	}
}

/* Runs a script for @event. 0 when it ended by itself, or an -errno of callout_run(). */
static int callout_script(struct callout *c, const char *path, const char *event,
			  const char *action, const char *input)
{
	const char *const argv[] = {path,
				    "-t",
				    ctl_text(c->device, "type"),
				    "-e",
				    event,
				    "-a",
				    action,
				    "-s",
				    c->state,
				    "-u",
				    ctl_text(c->device, "uuid"),
				    "-p",
				    ctl_text(c->device, "parent"),
				    NULL};

	return callout_run(argv, input, CALLOUT_LIMIT_S * NS_PER_S, &c->result);
}

/* Tells that a script did not do what it was asked to, which ends a command that is not done. */
static int callout_fail(struct callout *c, enum error_word word, const char *path, const char *what)
{
	const char *uuid = ctl_text(c->device, "uuid");

	if (!c->done && !c->force)
		return ctl_fail_word(c->ctl, word,
				     "%s of mdev %s: callout %s %s; see to that, or use --force",
				     c->action, uuid, path, what);
	if (!c->done)
		ctl_warn("%s of mdev %s goes on, though callout %s %s", c->action, uuid, path,
			 what);
	else if (word == ERROR_TIMEOUT)
		ctl_warn("callout %s %s after %s of mdev %s", path, what, c->action, uuid);
	return CTL_OK;
}

/*
 * Judges how the script ended: -1 when the next one is to be tried, else an exit code. @r is what
 * callout_script() returned; *@path is NULL afterwards when it cannot be run at all.
 */
static int callout_judge(struct callout *c, char **path, int r)
{
	char what[64];

	if (r == -ETIMEDOUT) {
		snprintf(what, sizeof(what), "did not end within %d s", CALLOUT_LIMIT_S);
		return callout_fail(c, ERROR_TIMEOUT, *path, what);
	}
	if (r == -EINTR)
		return CTL_FAILED;
	if (r < 0) {
		ctl_warn("script %s is skipped: %s", *path, strerror(-r));
		free(umdev_steal_ptr(path));
		return -1;
	}
	if (c->result.signal) {
		ctl_warn("script %s is skipped: it was ended by signal %d", *path,
			 c->result.signal);
		return -1;
	}
	if (c->result.status == CALLOUT_NOT_MINE)
		return -1;
	callout_repeat(c, *path);
	if (c->result.status == 0)
		return CTL_OK;
	snprintf(what, sizeof(what), "ended with status %d", c->result.status);
	return callout_fail(c, ERROR_NOT_PERMITTED, *path, what);
}

/* ---- Callouts -------------------------------------------------------------------------------- */

static bool callout_lists(const json_t *list, const char *word)
{
	const json_t *entry;
	size_t i;

	json_array_foreach (list, i, entry) {
		if (json_is_string(entry) && strcmp(json_string_value(entry), word) == 0)
			return true;
	}
	return false;
}

static bool callout_supports(const struct callout *c, const char *event)
{
	return c->supports && callout_lists(json_object_get(c->supports, "actions"), c->action) &&
	       callout_lists(json_object_get(c->supports, "events"), event);
}

/* Takes the answer to get/capabilities out of what the script printed. NULL when it is none. */
static json_t *callout_take_supports(const struct callout_result *result)
{
	json_t *answer = json_loadb(result->output, strlen(result->output), 0, NULL);
	json_t *supports = json_object_get(answer, "supports");

	supports = json_is_object(supports) ? json_incref(supports) : NULL;
	json_decref(answer);
	return supports;
}

/* Asks each callout what it can do, until one answers. */
static int callout_choose(struct callout *c)
{
	for (size_t i = 0; i < c->callouts.count && !c->chosen; i++) {
		char **path = &c->callouts.paths[i];
		int r;

		if (!*path)
			continue;
		r = callout_script(c, *path, "get", "capabilities", callout_provides);
		if (r < 0)
			r = callout_judge(c, path, r);
		if (r > 0)
			return r;
		/* Those that know no such question may end as they like. */
		if (r == 0 && !c->result.signal && c->result.status != CALLOUT_NOT_MINE)
			c->supports = callout_take_supports(&c->result);
		if (c->supports)
			c->chosen = *path;
	}
	return CTL_OK;
}

/* Runs the callout that was chosen, or looks for it. */
static int callout_event(struct callout *c, const char *event)
{
	if (c->chosen && c->supports && !callout_supports(c, event)) {
		char what[64];

		snprintf(what, sizeof(what), "does not support %s %s", event, c->action);
		return callout_fail(c, ERROR_NOT_PERMITTED, c->chosen, what);
	}
	for (size_t i = 0; i < c->callouts.count; i++) {
		char **path = &c->callouts.paths[i];
		int r;

		if (!*path || (c->chosen && c->chosen != *path))
			continue;
		r = callout_judge(c, path,
				  callout_script(c, *path, event, c->action, c->definition));
		if (r >= 0) {
			c->chosen = *path;
			return r;
		}
	}
	return CTL_OK;
}

static void callout_notify(struct callout *c)
{
	for (size_t i = 0; i < c->notifiers.count; i++) {
		const char *path = c->notifiers.paths[i];
		int r = callout_script(c, path, "notify", c->action, NULL);

		if (r == -ETIMEDOUT)
			ctl_warn("notifier %s did not end within %d s", path, CALLOUT_LIMIT_S);
		else if (r < 0)
			ctl_warn("script %s is skipped: %s", path, strerror(-r));
		else if (c->result.signal)
			ctl_warn("notifier %s was ended by signal %d", path, c->result.signal);
	}
}

/* ---- The command ----------------------------------------------------------------------------- */

static int callout_command(struct callout *c, json_t **ret_result)
{
	const json_t *params = json_object_get(c->device, "params");
	bool live = json_is_true(json_object_get(params, "live"));
	bool defined = !live || json_is_true(json_object_get(params, "defined"));
	char method[32];
	int r = callout_choose(c);

	if (r == CTL_OK && live && callout_supports(c, "live"))
		r = callout_event(c, "live");
	if (r == CTL_OK && defined)
		r = callout_event(c, "pre");
	if (r != CTL_OK)
		return r;
	snprintf(method, sizeof(method), "mdev.%s", c->action);
	r = ctl_call(c->ctl, method, json_incref(json_object_get(c->device, "params")), ret_result);
	c->state = r == CTL_OK ? "success" : "failure";
	c->done = true;
	if (defined)
		(void)callout_event(c, "post");
	return r;
}

/* The command on one mdev. */
static int callout_one(struct callout *c, json_t *device, json_t **ret_result)
{
	int r;

	c->device = device;
	c->state = "none";
	c->force = ctl_has(c->ctl, "force");
	c->done = false;
	c->chosen = NULL;
	c->definition = json_dumps(json_object_get(device, "definition"), JSON_COMPACT);
	if (!c->definition)
		return ctl_fail_word(c->ctl, ERROR_NO_MEMORY, "no memory for a definition");
	r = callout_command(c, ret_result);
	callout_notify(c);
	free(umdev_steal_ptr(&c->definition));
	json_decref(umdev_steal_ptr(&c->supports));
	return r;
}

/* The command on all that it is about; one that fails does not keep the others from it. */
static int callout_all(struct callout *c, json_t *params, json_t **ret_result)
{
	json_t *devices = NULL;
	json_t *device;
	size_t i;
	int r = callout_devices(c->ctl, c->action, params, &devices);

	if (r == CTL_OK && json_array_size(devices) == 0) {
		char method[32];

		snprintf(method, sizeof(method), "mdev.%s", c->action);
		r = ctl_call(c->ctl, method, json_incref(params), ret_result);
	}
	json_array_foreach (devices, i, device) {
		int one = callout_one(c, device, ret_result);

		r = one != CTL_OK ? one : r;
	}
	json_decref(devices);
	return r;
}

int callout_call(struct ctl *ctl, const char *action, json_t *params, json_t **ret_result)
{
	struct callout *c = calloc(1, sizeof(*c));
	char method[32];
	int r;

	if (!c || !params) {
		free(c);
		json_decref(params);
		return ctl_fail_word(ctl, ERROR_NO_MEMORY, "no memory for the request");
	}
	c->ctl = ctl;
	c->action = action;
	callout_find(ctl, "callouts", &c->callouts);
	callout_find(ctl, "notifiers", &c->notifiers);
	if (c->callouts.count + c->notifiers.count > 0) {
		r = callout_all(c, params, ret_result);
		json_decref(params);
	} else {
		snprintf(method, sizeof(method), "mdev.%s", action);
		r = ctl_call(ctl, method, params, ret_result);
	}
	callout_list_done(&c->callouts);
	callout_list_done(&c->notifiers);
	free(c);
	return r;
}
