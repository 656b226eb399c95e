/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and words that people write. See parse.h. */
#include "util/parse.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static int parse_digit(char c, unsigned base, unsigned *ret_digit)
{
	unsigned digit;

	if (c >= '0' && c <= '9')
		digit = (unsigned)(c - '0');
	else if (c >= 'a' && c <= 'f')
		digit = (unsigned)(c - 'a') + 10;
	else if (c >= 'A' && c <= 'F')
		digit = (unsigned)(c - 'A') + 10;
	else
		return -EINVAL;
	if (digit >= base)
		return -EINVAL;
	*ret_digit = digit;
	return 0;
}

/* Reads digits from @text; *@ret_end is the first character that is none. */
static int parse_digits(const char *text, uint64_t *ret_value, const char **ret_end)
{
	unsigned base = 10;
	uint64_t value = 0;
	unsigned digit;
	const char *p = text;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	if (parse_digit(*p, base, &digit) < 0)
		return -EINVAL;
	for (; parse_digit(*p, base, &digit) == 0; p++) {
		if (__builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return -ERANGE;
	}
	*ret_value = value;
	*ret_end = p;
	return 0;
}

int parse_u64(const char *text, uint64_t *ret_value)
{
	const char *end;
	uint64_t value;
	int r = parse_digits(text, &value, &end);

	if (r < 0)
		return r;
	if (*end)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int parse_bytes(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "kmgt";
	const char *end;
	const char *suffix;
	uint64_t value;
	int r = parse_digits(text, &value, &end);

	if (r < 0)
		return r;
	if (*end) {
		suffix = strchr(suffixes, tolower((unsigned char)*end));
		if (!suffix || !*suffix)
			return -EINVAL;
		if (__builtin_mul_overflow(value, 1024ULL << (10 * (suffix - suffixes)), &value))
			return -ERANGE;
		end++;
		if (*end && strcasecmp(end, "b") != 0 && strcasecmp(end, "ib") != 0)
			return -EINVAL;
	}
	*ret_bytes = value;
	return 0;
}

int parse_hundredths(const char *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned decimals = 0;
	unsigned digit;
	bool point = false;
	const char *p = text;

	if (parse_digit(*p, 10, &digit) < 0)
		return -EINVAL;
	for (; *p; p++) {
		if (*p == '.' && !point) {
			point = true;
			continue;
		}
		if (parse_digit(*p, 10, &digit) < 0)
			return -EINVAL;
		if (point && ++decimals > 2)
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return -ERANGE;
	}
	if (point && decimals == 0)
		return -EINVAL;
	for (; decimals < 2; decimals++) {
		if (__builtin_mul_overflow(value, 10, &value))
			return -ERANGE;
	}
	*ret_value = value;
	return 0;
}

int parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[] = {"0", "1", "false", "true", "no", "yes", "off", "on"};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret_value = i % 2 == 1;
			return 0;
		}
	}
	return -EINVAL;
}

int parse_choice(const char *text, const char *choices, uint64_t *ret_index)
{
	size_t len = strlen(text);
	uint64_t index = 0;

	if (len == 0 || strchr(text, ' '))
		return -EINVAL;
	for (const char *p = choices; *p; index++) {
		size_t word = strcspn(p, " ");

		if (word == len && strncmp(p, text, len) == 0) {
			*ret_index = index;
			return 0;
		}
		p += word;
		p += strspn(p, " ");
	}
	return -EINVAL;
}
