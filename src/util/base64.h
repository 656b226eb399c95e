/* SPDX-License-Identifier: BSD-3-Clause */
/* Base64 (RFC 4648, section 4): bytes in a JSON text. */
#pragma once

#include <stddef.h>

#include "util/cleanup.h"

/* @len bytes as a new text, with padding and a NUL. NULL when out of memory. */
char *base64_encode(const void *data, size_t len);

/*
 * The bytes that @text of @len characters stands for, in *@ret_data, which the caller frees (never
 * NULL), and their number. -EINVAL for what base64_encode() cannot have made, -ENOMEM.
 */
int base64_decode(const char *text, size_t len, void **ret_data, size_t *ret_len) umdev_warn_unused;
