/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one table of the RPC's methods: name, parameters with their types, what comes back.
 *
 * The server refuses a request that does not fit the table before any handler sees it, the server
 * is only created when handlers and table agree, and docs/rpc.md is generated from it. So a method
 * exists, is checked and is documented together or not at all.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

#define RPC_PARAMS_MAX	18
#define RPC_FIELDS_MAX	24
#define RPC_JSONRPC_TAG "2.0"

enum rpc_kind {
	RPC_STRING,
	RPC_BOOL,
	RPC_INT,    /* a whole number, not negative */
	RPC_NUMBER, /* a whole or a real number */
	RPC_OBJECT, /* any object */
	RPC_ARRAY,  /* any array */
	RPC_TEXTS,  /* an object whose values are all texts */
	RPC_PAIRS,  /* an array of objects with one key each, whose value is a text */
	RPC_KIND_COUNT
};

struct rpc_param {
	const char *name;
	enum rpc_kind kind;
	bool required;
	const char *doc;
};

struct rpc_method {
	const char *name; /* "noun.verb" */
	const char *summary;
	struct rpc_param params[RPC_PARAMS_MAX + 1]; /* ends with a NULL name */
	const char *returns;
};

/* A kind of object that methods return, for the reference page. */
struct rpc_object {
	const char *name;
	const char *summary;
	struct {
		const char *name;
		const char *type;
		const char *doc;
	} fields[RPC_FIELDS_MAX + 1]; /* ends with a NULL name */
};

/* Ends with a NULL name. */
extern const struct rpc_method rpc_methods[];
extern const struct rpc_object rpc_objects[];

/* The name of a kind as the reference page and error texts say it. Never NULL. */
const char *rpc_kind_name(enum rpc_kind kind);

/* The method called @name, or NULL. */
const struct rpc_method *rpc_method_find(const char *name);

/*
 * Whether @params (an object, or NULL for none) fits @method: no unknown key, nothing missing,
 * each of its kind. Returns 0, or the errno of ERROR_INVALID with @err (may be NULL) naming the
 * key.
 */
int rpc_method_check(const struct rpc_method *method, const json_t *params,
		     struct umdev_error *err);
