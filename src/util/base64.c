/* SPDX-License-Identifier: BSD-3-Clause */
/* See base64.h. */
#include "util/base64.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	char *text = malloc((len + 2) / 3 * 4 + 1);
	size_t at = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t word = (uint32_t)bytes[i] << 16;

		word |= n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
		word |= n > 2 ? bytes[i + 2] : 0;
		text[at++] = base64_digits[word >> 18];
		text[at++] = base64_digits[word >> 12 & 63];
		text[at++] = n > 1 ? base64_digits[word >> 6 & 63] : '=';
		text[at++] = n > 2 ? base64_digits[word & 63] : '=';
	}
	text[at] = '\0';
	return text;
}

/* The value of a digit, or -1. */
static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The bytes of one group of four, of which @n digits count. Returns how many, or -EINVAL. */
static int base64_group(const char *text, size_t n, uint8_t *bytes)
{
	uint32_t word = 0;

	if (n < 2)
		return -EINVAL;
	for (size_t i = 0; i < 4; i++) {
		int value = i < n ? base64_value(text[i]) : 0;

		if (value < 0)
			return -EINVAL;
		word = word << 6 | (uint32_t)value;
	}
	/* Bits that no byte has are zero, so that there is one text for the same bytes. */
	if (word & (n == 2 ? 0xffffu : n == 3 ? 0xffu : 0))
		return -EINVAL;
	for (size_t i = 0; i < n - 1; i++)
		bytes[i] = (uint8_t)(word >> (16 - 8 * i));
	return (int)n - 1;
}

int base64_decode(const char *text, size_t len, void **ret_data, size_t *ret_len)
{
	uint8_t *bytes;
	size_t at = 0;

	if (len % 4)
		return -EINVAL;
	bytes = malloc(len / 4 * 3 + 1);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < len; i += 4) {
		size_t n = 4;
		int r;

		if (i + 4 == len && text[i + 3] == '=')
			n = text[i + 2] == '=' ? 2 : 3;
		r = base64_group(text + i, n, bytes + at);
		if (r < 0) {
			free(bytes);
			return r;
		}
		at += (size_t)r;
	}
	*ret_data = bytes;
	*ret_len = at;
	return 0;
}
