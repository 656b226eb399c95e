/* SPDX-License-Identifier: BSD-3-Clause */
/* The syntax of names. See ident.h. */
#include "model/ident.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static bool ident_is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool ident_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool ident_is_alnum(char c)
{
	return ident_is_lower(c) || ident_is_digit(c) || (c >= 'A' && c <= 'Z');
}

int ident_uuid_parse(const char *text, char ret_uuid[IDENT_UUID_SIZE])
{
	char uuid[IDENT_UUID_SIZE];

	if (!text || strnlen(text, IDENT_UUID_SIZE) != IDENT_UUID_SIZE - 1)
		return -EINVAL;
	for (size_t i = 0; i < IDENT_UUID_SIZE - 1; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (c != '-')
				return -EINVAL;
		} else if (!ident_is_digit(c) && !(c >= 'a' && c <= 'f')) {
			return -EINVAL;
		}
		uuid[i] = c;
	}
	uuid[IDENT_UUID_SIZE - 1] = '\0';
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

/* True when @name has 1..@max characters, all alphanumeric or in @others. */
static bool ident_made_of(const char *name, size_t max, const char *others)
{
	size_t len = name ? strnlen(name, max + 1) : 0;

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!ident_is_alnum(name[i]) && !strchr(others, name[i]))
			return false;
	}
	return true;
}

static bool ident_has_upper(const char *name)
{
	for (; *name; name++) {
		if (*name >= 'A' && *name <= 'Z')
			return true;
	}
	return false;
}

bool ident_parent_name_ok(const char *name)
{
	return ident_made_of(name, IDENT_PARENT_NAME_MAX, "_.:-") && ident_is_alnum(name[0]) &&
	       strcmp(name, "scripts.d") != 0;
}

bool ident_driver_name_ok(const char *name)
{
	return ident_made_of(name, IDENT_DRIVER_NAME_MAX, "") && ident_is_lower(name[0]) &&
	       !ident_has_upper(name);
}

bool ident_word_ok(const char *name)
{
	return ident_made_of(name, IDENT_WORD_MAX, "_") && ident_is_lower(name[0]) &&
	       !ident_has_upper(name);
}

bool ident_type_local_ok(const char *name)
{
	return ident_made_of(name, IDENT_TYPE_MAX, "_.-") && ident_is_alnum(name[0]) &&
	       !ident_has_upper(name);
}

bool ident_attr_name_ok(const char *name)
{
	size_t word = 0;

	if (!ident_made_of(name, IDENT_ATTR_MAX, "_.-/"))
		return false;
	for (const char *p = name;; p++) {
		if (*p != '/' && *p != '\0') {
			word++;
			continue;
		}
		if (word == 0 || (word == 1 && p[-1] == '.') ||
		    (word == 2 && p[-1] == '.' && p[-2] == '.'))
			return false;
		if (*p == '\0')
			return true;
		word = 0;
	}
}

/* The length of the UTF-8 sequence at @p, 0 when there is no valid one. */
static size_t ident_utf8_len(const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (p[0] >= 0xf5 || (p[0] >= 0x80 && p[0] < 0xc2))
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

bool ident_line_ok(const char *text, size_t max)
{
	size_t len = text ? strnlen(text, max + 1) : 0;

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len;) {
		size_t n = ident_utf8_len(text + i);

		if (n == 0 || (uint8_t)text[i] < 0x20 || text[i] == 0x7f)
			return false;
		i += n;
	}
	return true;
}
