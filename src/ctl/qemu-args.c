/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdevctl qemu-args: prints what makes QEMU use mdevs.
 *
 * Meant for $(umdevctl qemu-args UUID) without quotes: a shell then splits at blanks and expands
 * wildcards, so no word may contain either. A path that does is written with JSON escapes.
 */
#include "ctl/qemu-args.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "util/parse.h"

void qemu_args_memory(json_t *words, uint64_t bytes)
{
	char text[128];

	json_array_append_new(words, json_string("-object"));
	snprintf(text, sizeof(text), "memory-backend-memfd,id=umdev-mem,size=%llu,share=on",
		 (unsigned long long)bytes);
	json_array_append_new(words, json_string(text));
	json_array_append_new(words, json_string("-machine"));
	json_array_append_new(words, json_string("memory-backend=umdev-mem"));
}

/* Writes @text with JSON escapes for what a shell splits at or expands. */
static void qemu_args_escape(FILE *out, const char *text)
{
	for (const char *c = text; *c; c++) {
		if (strchr(" \t\n*?[]", *c))
			fprintf(out, "\\u%04x", (unsigned)(unsigned char)*c);
		else
			fputc(*c, out);
	}
}

void qemu_args_device(json_t *words, const char *uuid, const char *socket)
{
	umdev_autofree char *plain = NULL;
	umdev_autofree char *escaped = NULL;
	umdev_autofclose FILE *out = NULL;
	size_t len = 0;
	json_t *device = json_pack("{s:s, s:s+, s:{s:s, s:s}}", "driver", "vfio-user-pci", "id",
				   "umdev-", uuid, "socket", "type", "unix", "path", socket);

	plain = json_dumps(device, JSON_COMPACT);
	json_decref(device);
	out = open_memstream(&escaped, &len);
	if (!plain || !out)
		return;
	qemu_args_escape(out, plain);
	fflush(out);
	json_array_append_new(words, json_string("-device"));
	json_array_append_new(words, json_string(escaped));
}

void qemu_args_print(FILE *out, const json_t *words, char between)
{
	json_t *word;
	size_t i;

	json_array_foreach (words, i, word) {
		if (i > 0)
			fputc(between, out);
		fputs(json_string_value(word), out);
	}
}

/* The words on one line, in quotes where a shell needs them. */
static void qemu_args_print_shell(const json_t *words)
{
	json_t *word;
	size_t i;

	json_array_foreach (words, i, word) {
		const char *text = json_string_value(word);

		if (i > 0)
			putchar(' ');
		if (!strpbrk(text, "{}\"'\\$`!&|;<>()# \t\n*?[]~")) {
			fputs(text, stdout);
			continue;
		}
		putchar('\'');
		for (const char *c = text; *c; c++)
			fputs(*c == '\'' ? "'\\''" : (char[]){*c, '\0'}, stdout);
		putchar('\'');
	}
	putchar('\n');
}

/* Appends the arguments of the mdev called @text. */
static int qemu_args_one(struct ctl *ctl, const char *text, json_t *words)
{
	char uuid[CTL_UUID_STRING] = "";
	json_t *result = NULL;
	const json_t *mdev;
	int r;

	if (!ctl_uuid_parse(text, uuid))
		return ctl_usage(ctl, "'%s' is not a UUID", text);
	r = ctl_call(ctl, "mdev.list", json_pack("{s:s}", "uuid", uuid), &result);
	if (r != CTL_OK)
		return r;
	mdev = json_array_get(json_object_get(result, "mdevs"), 0);
	if (!mdev || !ctl_text(mdev, "socket")[0])
		r = ctl_fail_word(ctl, ERROR_NOT_ACTIVE,
				  "mdev %s is not active; start it with 'umdevctl start --uuid %s'",
				  uuid, uuid);
	else
		qemu_args_device(words, uuid, ctl_text(mdev, "socket"));
	json_decref(result);
	return r;
}

int ctl_qemu_args(struct ctl *ctl)
{
	const char *size = ctl_get(ctl, "memory");
	uint64_t bytes = QEMU_ARGS_MEMORY;
	json_t *words;
	int r = ctl_conflict(ctl, "memory", "no-memory");

	if (r != CTL_OK)
		return r;
	if (size && (parse_bytes(size, &bytes) < 0 || bytes == 0))
		return ctl_usage(ctl, "--memory: '%s' is not a size such as 512M or 2G", size);
	words = json_array();
	if (!ctl_has(ctl, "no-memory"))
		qemu_args_memory(words, bytes);
	for (size_t i = 0; r == CTL_OK && i < ctl->n_operands; i++)
		r = qemu_args_one(ctl, ctl->operands[i], words);
	if (r == CTL_OK && ctl->json) {
		ctl_print_json(words, "\n");
	} else if (r == CTL_OK && ctl_has(ctl, "shell")) {
		qemu_args_print_shell(words);
	} else if (r == CTL_OK) {
		qemu_args_print(stdout, words, '\n');
		putchar('\n');
	}
	json_decref(words);
	return r;
}
