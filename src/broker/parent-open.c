/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a host's hello to a parent that is ready: the driver's tables, the options, what they name,
 * the pool with its map, the types. All of it comes from the driver's process and is untrusted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <umdev/driver.h>

#include "broker/journal.h"
#include "broker/mdev.h"
#include "broker/parent.h"
#include "broker/store.h"
#include "broker/stored.h"
#include "link/protocol.h"
#include "util/clock.h"

#define PARENT_LOCK_RETRY_NS (200 * NS_PER_MS)
#define PARENT_UNIT_MAX	     32

/* ---- Hello ----------------------------------------------------------------------------------- */

static int parent_take_tables(struct parent *parent, json_t *hello, struct umdev_error *err)
{
	struct spec_table options = {0};
	struct spec_table attrs = {0};
	json_t *sandbox = NULL;
	const char *name = NULL;
	json_int_t state_version = 0;
	json_int_t state_from = -1;
	json_int_t page_size = 0;
	json_int_t flags = 0;
	int r;

	if (json_integer_value(json_object_get(hello, "version")) != LINK_VERSION)
		return error_set(err, ERROR_HOST_FAILED,
				 "the host of %s is of another version of umdev", parent->name);
	if (json_unpack(hello, "{s:{s:s,s?I,s:I,s?I,s?I}}", "driver", "name", &name,
			"state_version", &state_version, "page_size", &page_size, "flags", &flags,
			"state_from", &state_from) < 0)
		return error_set(err, ERROR_DRIVER_FAILED, "the host of %s says a malformed hello",
				 parent->name);
	if (strcmp(name, parent->driver) != 0)
		return error_set(err, ERROR_DRIVER_FAILED, "driver %s calls itself '%.16s'",
				 parent->driver, name);
	if (page_size <= 0 || page_size > KEEPER_PAGE_MAX)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s wants a state page of %lld bytes; at most %u are "
				 "possible",
				 parent->driver, (long long)page_size, KEEPER_PAGE_MAX);
	if (state_version < 0 || state_version > UINT32_MAX)
		return error_set(err, ERROR_DRIVER_FAILED, "driver %s has a malformed version",
				 parent->driver);
	r = spec_table_parse(json_object_get(hello, "options"), SPEC_OPTIONS, parent->driver,
			     &options, err);
	if (r == 0)
		r = spec_table_parse(json_object_get(hello, "attrs"), SPEC_ATTRS, parent->driver,
				     &attrs, err);
	sandbox = r == 0 ? sandbox_take(hello, parent->driver, err) : NULL;
	if (!sandbox) {
		spec_table_done(&options);
		spec_table_done(&attrs);
		return -error_word_errno(err->word);
	}
	json_decref(parent->sandbox);
	parent->sandbox = sandbox;
	spec_table_done(&parent->option_specs);
	spec_table_done(&parent->attr_specs);
	parent->option_specs = options;
	parent->attr_specs = attrs;
	parent->page_size = (uint64_t)page_size;
	parent->state_version = (uint32_t)state_version;
	parent->state_from = state_from >= 0 && state_from < state_version ? (uint32_t)state_from
									   : parent->state_version;
	parent->restart_resets = flags & UMDEV_DRIVER_RESET_ON_RESTART;
	return 0;
}

/* ---- The answer to open ---------------------------------------------------------------------- */

static int parent_take_pool(struct parent *parent, json_t *answer, struct umdev_error *err)
{
	json_t *pool = json_object_get(answer, "pool");
	const char *unit = json_string_value(json_object_get(pool, "unit"));
	json_int_t units = 0;
	json_int_t align = 1;

	if (json_unpack(pool, "{s:I,s?I}", "units", &units, "align", &align) < 0 || units <= 0 ||
	    align < 0)
		return error_set(err, ERROR_DRIVER_FAILED, "driver %s describes no pool",
				 parent->driver);
	if (align == 0)
		align = 1;
	if (!ident_line_ok(unit, PARENT_UNIT_MAX))
		unit = "units";
	free(parent->unit);
	parent->unit = strdup(unit);
	if (!parent->opened)
		return parent_load_map(parent, (uint64_t)units, (uint64_t)align, err);
	if ((uint64_t)units != parent->pool.units || (uint64_t)align != parent->pool.align)
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s has another pool than before: %lld %s, not %llu",
				 parent->driver, (long long)units, unit,
				 (unsigned long long)parent->pool.units);
	return 0;
}

static int parent_take_types(struct parent *parent, json_t *answer, struct umdev_error *err)
{
	struct type_table types = {0};
	int r = type_table_parse(json_object_get(answer, "types"), parent->driver, &types, err);

	if (r < 0)
		return r;
	/* mdevs that exist refer to their types by index. */
	if (parent->opened && !type_table_extends(&types, &parent->types)) {
		type_table_done(&types);
		return error_set(err, ERROR_DRIVER_FAILED,
				 "driver %s no longer offers the types it offered before",
				 parent->driver);
	}
	type_table_done(&parent->types);
	parent->types = types;
	return 0;
}

static void parent_take_description(struct parent *parent, json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "description"));

	free(parent->description);
	parent->description = ident_line_ok(text, IDENT_TEXT_MAX) ? strdup(text) : NULL;
}

int parent_take_answer(struct parent *parent, json_t *answer, struct umdev_error *err)
{
	int r = parent_take_types(parent, answer, err);

	if (r == 0)
		r = parent_take_pool(parent, answer, err);
	if (r < 0)
		return r;
	parent_take_description(parent, answer);
	json_decref(parent->answer);
	parent->answer = json_incref(answer);
	return 0;
}

static void parent_opened(void *arg, json_t *answer, const struct umdev_error *error)
{
	struct parent *parent = arg;
	struct umdev_error err = {0};
	int r;

	if (!answer) {
		parent_fail(parent, error);
		return;
	}
	if (parent->state == PARENT_REMOVING)
		return;
	r = parent_take_answer(parent, answer, &err);
	if (r < 0) {
		parent_fail(parent, &err);
		return;
	}
	parent_now_ready(parent);
}

/* ---- Open ------------------------------------------------------------------------------------ */

json_t *parent_driver_options(const struct parent *parent)
{
	const struct spec_table *standard = spec_standard_options();
	json_t *options = json_copy(parent->options);

	for (size_t i = 0; i < standard->count; i++)
		json_object_del(options, standard->rows[i].name);
	return options;
}

/* The parallelism of each engine as the last host declared it, or NULL. */
static json_t *parent_known_engines(const struct parent *parent)
{
	json_t *engines = json_object_get(parent->answer, "engines");
	json_t *known = engines ? json_array() : NULL;
	json_t *engine;
	size_t i;

	json_array_foreach (engines, i, engine)
		json_array_append(known, json_object_get(engine, "parallelism"));
	return known;
}

static json_t *parent_open_params(const struct parent *parent, int *ret_fds)
{
	json_t *fds = json_array();
	json_t *flags = json_object();

	for (size_t i = 0; i < parent->backings.count; i++) {
		const struct backing *b = &parent->backings.items[i];

		ret_fds[i] = b->fd;
		json_array_append_new(fds, json_string(b->option));
		json_object_set_new(flags, b->option, json_integer(b->flags));
	}
	return json_pack("{s:s,s:o,s:o,s:o,s:o*}", "name", parent->name, "values",
			 parent_driver_options(parent), "fds", fds, "flags", flags, "engines",
			 parent_known_engines(parent));
}

int parent_send_open(struct parent *parent, struct host *host, link_reply_fn *reply)
{
	int fds[BACKINGS_MAX + 1];
	struct host_request request = {
		.method = LINK_OPEN,
		.params = parent_open_params(parent, fds),
		.fds = fds,
		.nfds = parent->backings.count + 1,
		.timeout_ns = parent->broker->config.call_timeout_ns,
	};
	int r = journal_parent_new(parent);

	if (r < 0) {
		json_decref(request.params);
		return r;
	}
	fds[parent->backings.count] = parent->record_fd;
	return host_call(host, &request, reply, parent);
}

static void parent_open_send(struct parent *parent)
{
	struct umdev_error err = {0};
	int r = parent_send_open(parent, parent->host, parent_opened);

	if (r == 0)
		return;
	error_set(&err, ERROR_HOST_FAILED, "the host of %s cannot be asked to open it: %s",
		  parent->name, strerror(-r));
	parent_fail(parent, &err);
}

void parent_open_continue(struct parent *parent)
{
	struct broker *broker = parent->broker;
	struct umdev_error err = {0};
	uint64_t now = clock_now_ns();
	int r;

	if (!parent->host || parent->failing)
		return;
	r = backings_open(&parent->backings, parent->options, &parent->option_specs,
			  parent->call != NULL, &err);
	if (r == 0) {
		stored_backings(parent);
		parent_open_send(parent);
		return;
	}
	/* After a daemon died, its hosts need a moment to see that and let go. */
	if (err.word == ERROR_LOCKED && parent->booting && now < parent->lock_deadline_ns) {
		reactor_timer_set(broker->reactor, &parent->timer, now + PARENT_LOCK_RETRY_NS);
		return;
	}
	parent_fail(parent, &err);
}

int parent_take_hello(struct parent *parent, json_t *hello, struct umdev_error *err)
{
	int r = parent_take_tables(parent, hello, err);

	if (r == 0)
		r = backings_check_options(parent->options, &parent->option_specs, parent->driver,
					   err);
	if (r < 0)
		return r;
	json_decref(parent->hello);
	parent->hello = json_incref(hello);
	return 0;
}

void parent_open_begin(struct parent *parent, json_t *hello)
{
	struct umdev_error err = {0};
	int r = parent_take_hello(parent, hello, &err);

	if (r < 0)
		parent_fail(parent, &err);
	else if (parent->opened)
		parent_open_send(parent); /* the backings were kept */
	else
		parent_open_continue(parent);
}
