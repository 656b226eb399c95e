/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes docs/rpc.md from the method table, or with --check FILE compares: exit code 1 and one line
 * when the page does not say what the table says.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/methods.h"
#include "rpc/server.h"
#include "util/cleanup.h"
#include "util/fd.h"

#define GENDOC_PAGE_MAX (1024 * 1024)

static void gendoc_head(FILE *out)
{
	fprintf(out,
		"# The RPC\n\n"
		"Generated from `src/rpc/methods.c`; do not edit.\n\n"
		"umdevd listens on the unix stream socket `run/umdev/control.sock` below its root "
		"(mode 0660). It speaks JSON-RPC 2.0 with parameters by name: one object per line, "
		"requests and answers alike. Who may do what follows from the user at the other end "
		"of the socket. `libumdev` (`umdev/client.h`) is a client in C.\n\n"
		"## Limits\n\n"
		"| what | limit | beyond it |\n|---|---|---|\n"
		"| length of a request | %d bytes | the request is refused with `LIMIT` |\n"
		"| unanswered requests of a connection | %d | the request is refused with `LIMIT` |\n"
		"| connections | %d | the connection is told `LIMIT` and closed |\n"
		"| answers and events that a client does not read | %d bytes | the connection is "
		"closed |\n\n",
		RPC_REQUEST_MAX, RPC_OUTSTANDING_MAX, RPC_CLIENTS_MAX, RPC_UNSENT_MAX);
}

static void gendoc_errors(FILE *out)
{
	fprintf(out,
		"## Errors\n\n"
		"`{\"code\", \"message\", \"data\": {\"word\", \"errno\", \"key\"?}}`. The code is one "
		"of JSON-RPC's for a request that is malformed (-32700, -32600), names no method "
		"(-32601) or has wrong parameters (-32602), else -32000. Programs compare the word; "
		"the message is one line for a person and may change; the key names the parameter "
		"or attribute that is wrong.\n\n"
		"| word | errno |\n|---|---|\n");
	for (int w = ERROR_NONE + 1; w < ERROR_WORD_COUNT; w++) {
		int error = error_word_errno((enum error_word)w);

		fprintf(out, "| `%s` | %d %s |\n", error_word_name((enum error_word)w), error,
			strerrorname_np(error));
	}
	fprintf(out, "\n");
}

static void gendoc_method(FILE *out, const struct rpc_method *m)
{
	fprintf(out, "### %s\n\n%s\n\n", m->name, m->summary);
	if (m->params[0].name)
		fprintf(out, "| parameter | type | |\n|---|---|---|\n");
	for (const struct rpc_param *p = m->params; p->name; p++)
		fprintf(out, "| `%s`%s | %s | %s |\n", p->name, p->required ? "" : "?",
			rpc_kind_name(p->kind), p->doc);
	fprintf(out, "%sReturns %s\n\n", m->params[0].name ? "\n" : "", m->returns);
}

static void gendoc_object(FILE *out, const struct rpc_object *o)
{
	fprintf(out, "### %s\n\n%s\n\n| key | type | |\n|---|---|---|\n", o->name, o->summary);
	for (size_t i = 0; o->fields[i].name; i++)
		fprintf(out, "| `%s` | %s | %s |\n", o->fields[i].name, o->fields[i].type,
			o->fields[i].doc);
	fprintf(out, "\n");
}

static void gendoc_page(FILE *out)
{
	gendoc_head(out);
	gendoc_errors(out);
	fprintf(out, "## Methods\n\nParameters with a question mark may be absent.\n\n");
	for (const struct rpc_method *m = rpc_methods; m->name; m++)
		gendoc_method(out, m);
	fprintf(out, "## Objects\n\nUnknown keys are to be ignored: more may come.\n\n");
	for (const struct rpc_object *o = rpc_objects; o->name; o++)
		gendoc_object(out, o);
}

static int gendoc_check(const char *path)
{
	umdev_autofree char *have = NULL;
	umdev_autofree char *want = NULL;
	umdev_autofclose FILE *out = NULL;
	size_t have_len = 0;
	size_t want_len = 0;

	out = open_memstream(&want, &want_len);
	if (!out || fd_read_file(AT_FDCWD, path, GENDOC_PAGE_MAX, &have, &have_len) < 0) {
		fprintf(stderr, "cannot read %s\n", path);
		return EXIT_FAILURE;
	}
	gendoc_page(out);
	fflush(out);
	if (have_len == want_len && memcmp(have, want, want_len) == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "%s differs from the method table; write it anew with gendoc\n", path);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--check") == 0)
		return gendoc_check(argv[2]);
	if (argc != 1) {
		fprintf(stderr, "usage: rpc-gendoc [--check FILE]\n");
		return 2;
	}
	gendoc_page(stdout);
	return ferror(stdout) || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
