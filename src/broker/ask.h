/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions of hosts: may this client connect to a member of a group (LINK_JOIN)?
 *
 * The answer waits until all is known of an earlier broker's hosts (takeover.h), and while the
 * group's consumer is leaving (client.h); the host serves on meanwhile.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct broker;
struct parent;

/* Answers question @id, now or later. */
void ask_join(struct parent *parent, uint64_t id, json_t *params);

/* Answers those that waited for the takeovers. */
void ask_answer_all(struct broker *broker);

/* Nobody waits for the answers any more: the host of @parent is gone. */
void ask_forget(const struct parent *parent);
