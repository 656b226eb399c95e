/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Circular doubly linked list with the node embedded in its element. A node that is not on a list
 * points to itself after list_init() or list_del(), so that list_del() is always safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/cleanup.h"

struct list {
	struct list *next;
	struct list *prev;
};

/* Makes @l an empty list, or a node that is on none. */
static inline void list_init(struct list *l)
{
	l->next = l;
	l->prev = l;
}

/* Whether nothing is on the list, or the node is on none. */
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

/* Puts @node, which is on no list, last; before @head, when that is a node itself. */
static inline void list_add_tail(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Puts @node, which is on no list, first. */
static inline void list_add(struct list *head, struct list *node)
{
	list_add_tail(head->next, node);
}

/* Takes @node off its list. Nothing happens when it is on none. */
static inline void list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)

#define list_for_each(pos, head, member)                                                           \
	for (pos = list_entry((head)->next, __typeof__(*pos), member); &pos->member != (head);     \
	     pos = list_entry(pos->member.next, __typeof__(*pos), member))

/* As list_for_each(), where the body may remove @pos. */
#define list_for_each_safe(pos, tmp, head, member)                                                 \
	for (pos = list_entry((head)->next, __typeof__(*pos), member),                             \
	    tmp = list_entry(pos->member.next, __typeof__(*pos), member);                          \
	     &pos->member != (head);                                                               \
	     pos = tmp, tmp = list_entry(tmp->member.next, __typeof__(*tmp), member))
