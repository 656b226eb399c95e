/* SPDX-License-Identifier: BSD-3-Clause */
/* See frame.h. One pass over the bytes; the buffer grows with the text and is kept between texts.
 */
#include "rpc/frame.h"

#include <errno.h>
#include <stdlib.h>

#define RPC_FRAME_KEEP	4096
#define RPC_FRAME_START 512

void rpc_frame_init(struct rpc_frame *frame, size_t max)
{
	*frame = (struct rpc_frame){.max = max};
}

void rpc_frame_done(struct rpc_frame *frame)
{
	free(frame->text);
	rpc_frame_init(frame, frame->max);
}

static void rpc_frame_reset(struct rpc_frame *frame)
{
	/* One long text must not pin its memory for the life of the connection. */
	if (frame->room > RPC_FRAME_KEEP) {
		free(frame->text);
		frame->text = NULL;
		frame->room = 0;
	}
	frame->len = 0;
	frame->depth = 0;
	frame->in_string = false;
	frame->escaped = false;
	frame->open = false;
	frame->too_long = false;
	frame->done = false;
}

/* Appends @c, or notes that the text is over the limit. Keeps room for the final NUL. */
static int rpc_frame_put(struct rpc_frame *frame, char c)
{
	if (frame->too_long || frame->len == frame->max) {
		frame->too_long = true;
		return 0;
	}
	if (frame->len + 1 >= frame->room) {
		size_t room = frame->room ? frame->room * 2 : RPC_FRAME_START;
		char *text = realloc(frame->text, room);

		if (!text)
			return -ENOMEM;
		frame->text = text;
		frame->room = room;
	}
	frame->text[frame->len++] = c;
	return 0;
}

/* Follows the nesting. Returns whether @c closes the outermost object or array. */
static bool rpc_frame_closes(struct rpc_frame *frame, char c)
{
	if (!frame->open) {
		/* Only a text that begins with a bracket can end at one. */
		if (frame->len == 1 && !frame->too_long && (c == '{' || c == '[')) {
			frame->open = true;
			frame->depth = 1;
		}
		return false;
	}
	if (frame->escaped) {
		frame->escaped = false;
	} else if (frame->in_string) {
		frame->escaped = c == '\\';
		frame->in_string = c != '"';
	} else if (c == '"') {
		frame->in_string = true;
	} else if (c == '{' || c == '[') {
		frame->depth++;
	} else if (c == '}' || c == ']') {
		frame->depth--;
	}
	return frame->depth == 0;
}

static int rpc_frame_finish(struct rpc_frame *frame)
{
	frame->done = true;
	if (frame->too_long)
		return RPC_FRAME_TOO_LONG;
	frame->text[frame->len] = '\0';
	return RPC_FRAME_TEXT;
}

int rpc_frame_feed(struct rpc_frame *frame, const char **data, size_t *len)
{
	if (frame->done)
		rpc_frame_reset(frame);
	while (*len > 0) {
		char c = **data;
		int r;

		(*data)++;
		(*len)--;
		if (frame->len == 0 && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
			continue;
		if (c == '\n')
			return rpc_frame_finish(frame);
		r = rpc_frame_put(frame, c);
		if (r < 0)
			return r;
		if (rpc_frame_closes(frame, c))
			return rpc_frame_finish(frame);
	}
	return RPC_FRAME_NONE;
}
