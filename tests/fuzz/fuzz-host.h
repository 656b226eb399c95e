/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host of a parent, played by the input instead of a process: linked with --wrap for the
 * functions of broker/host.h. What it says reaches the broker as if it had come over a link.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Whether new hosts say a good hello and answer all calls well by themselves. */
void fuzz_hosts_behave(bool behave);

/* The hosts that there are. */
uint32_t fuzz_hosts_count(void);

/* Host @index (modulo their number) says hello, notifies, asks, answers its oldest call with
 * @answer ({"result"} or {"error"}), dies. Nothing when there is none, or it has nothing to answer.
 */
void fuzz_host_hello(uint32_t index, json_t *params);
void fuzz_host_notify(uint32_t index, const char *method, json_t *params, uint32_t nfds);
void fuzz_host_ask(uint32_t index, uint64_t id, const char *method, json_t *params);
void fuzz_host_reply(uint32_t index, json_t *answer);
void fuzz_host_die(uint32_t index);

/* Those that behave answer what they were asked. Returns how many calls that were. */
uint32_t fuzz_hosts_work(void);
