/* SPDX-License-Identifier: BSD-3-Clause */
/* The arguments with which QEMU uses mdevs, for the verbs that hand them out. */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* The default size of a guest's memory. */
#define QEMU_ARGS_MEMORY (512ULL * 1024 * 1024)

/* Appends to the array @words the arguments for shared guest memory of @bytes. */
void qemu_args_memory(json_t *words, uint64_t bytes);

/* Appends the arguments for one active mdev. */
void qemu_args_device(json_t *words, const char *uuid, const char *socket);

/* Writes the words, one per line. None contains a character at which a shell splits or expands. */
void qemu_args_print(FILE *out, const json_t *words, char between);
