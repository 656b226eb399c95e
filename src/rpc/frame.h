/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cuts a stream of bytes into JSON texts.
 *
 * A text ends at a line end, or where its outermost object or array closes, so both one object per
 * line and objects in a row are understood, and a malformed line spoils nothing after it. A text
 * longer than the limit is skipped to its end and reported once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum rpc_frame_event {
	RPC_FRAME_NONE,	    /* all input taken, no text complete */
	RPC_FRAME_TEXT,	    /* text/len hold one, until the next call */
	RPC_FRAME_TOO_LONG, /* one that was over the limit has ended */
};

struct rpc_frame {
	char *text; /* owned, NUL-terminated when an event says so */
	size_t len;
	size_t room;
	size_t max; /* the longest text that is accepted */
	unsigned depth;
	bool in_string;
	bool escaped;
	bool open; /* inside an outermost object or array */
	bool too_long;
	bool done; /* the text was handed out, begin anew */
};

/* Starts with nothing held. @max is the longest text accepted, in bytes without the line end. */
void rpc_frame_init(struct rpc_frame *frame, size_t max);

/* Frees what is held; the frame can be used again. */
void rpc_frame_done(struct rpc_frame *frame);

/*
 * Takes from *@data up to the end of one text, moving *@data and *@len on. Returns an enum
 * rpc_frame_event or -ENOMEM.
 */
int rpc_frame_feed(struct rpc_frame *frame, const char **data, size_t *len);
