/* SPDX-License-Identifier: BSD-3-Clause */
/* Open files: their texts, what is written to them, and who waits for them to change. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sysfs/fs-internal.h"
#include "util/log.h"

/* What poll() says of every file of sysfs. */
#define FILE_POLL_ALWAYS  ((unsigned)(POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM))
#define FILE_POLL_CHANGED ((unsigned)(POLLERR | POLLPRI))

struct fs_file {
	struct list link;
	fuse_ino_t ino;
	char *text; /* NULL: nothing was read yet */
	size_t len;
	uint32_t seen;		    /* of the changes, when it was opened or read */
	struct fuse_pollhandle *ph; /* of whom polls, or NULL */
};

/* A request that waits for the daemon. */
struct fs_op {
	struct list link; /* of fs->done */
	struct fs *fs;
	fuse_req_t req;
	fuse_ino_t ino;
	/* A read. */
	struct fs_file *file;
	size_t size;
	size_t off;
	/* A write. */
	enum attr_deed deed;
	size_t count;
};

/* ---- Handles --------------------------------------------------------------------------------- */

/* How often what the file shows may have changed. */
static uint32_t file_changes(const struct fs_node *of)
{
	if (!of->attr || !of->attr->changes)
		return 0;
	if (of->node.kind == NODE_GROUP)
		return of->subject.group->changes;
	return of->subject.mdev ? of->subject.mdev->changes : of->subject.parent->changes;
}

static struct fs_file *file_of(const struct fuse_file_info *fi)
{
	return (struct fs_file *)(uintptr_t)fi->fh;
}

int fs_file_open(struct fs *fs, const struct fs_node *of, struct fuse_file_info *fi)
{
	struct fs_file *file;

	if (fs->file_count >= FS_FILES_MAX)
		return -ENFILE;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->ino = node_number(of->node);
	file->seen = file_changes(of);
	list_add_tail(&fs->files, &file->link);
	fs->file_count++;
	fi->fh = (uint64_t)(uintptr_t)file;
	return 0;
}

static void file_free(struct fs *fs, struct fs_file *file)
{
	list_del(&file->link);
	fs->file_count--;
	if (file->ph)
		fuse_pollhandle_destroy(file->ph);
	free(file->text);
	free(file);
}

void fs_file_close(struct fs *fs, struct fuse_file_info *fi)
{
	file_free(fs, file_of(fi));
}

void fs_done(struct fs *fs)
{
	struct fs_op *op;

	while (!list_empty(&fs->done)) {
		op = list_first(&fs->done, struct fs_op, link);
		list_del(&op->link);
		fuse_reply_err(op->req, EIO);
		free(op);
	}
	while (!list_empty(&fs->files))
		file_free(fs, list_first(&fs->files, struct fs_file, link));
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void file_reply_text(fuse_req_t req, const struct fs_file *file, size_t size, size_t off)
{
	if (off >= file->len)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, file->text + off, MIN(size, file->len - off));
}

/* Takes the text of @of as it is now. 0 or -errno. */
static int file_take_text(struct fs_file *file, const struct fs_node *of, const json_t *answer)
{
	char *text = malloc(ATTR_SIZE);
	int n;

	if (!text)
		return -ENOMEM;
	n = of->attr->show(&of->subject, of->attr, answer, text, ATTR_SIZE);
	if (n < 0) {
		free(text);
		return n;
	}
	free(file->text);
	file->text = text;
	file->len = (size_t)n;
	file->seen = file_changes(of);
	return 0;
}

static void file_read_answered(void *arg, json_t *result, const struct umdev_error *err)
{
	struct fs_op *op = arg;
	struct fs_node of;
	int r;

	if (!fs_look(op->fs, op->ino, &of) || !of.attr)
		r = -ENODEV;
	else if (!result)
		r = err->word == ERROR_NOT_ACTIVE ? -ENODEV : attr_errno(ATTR_DEED_NOTHING, err);
	else
		r = file_take_text(op->file, &of, result);
	if (r < 0)
		fuse_reply_err(op->req, -r);
	else
		file_reply_text(op->req, op->file, op->size, op->off);
	free(op);
}

/* Asks the daemon for what the text is made of. */
static int file_ask(struct fs *fs, const struct fs_node *of, struct fs_op *op)
{
	if (of->attr->from == ATTR_FROM_TYPES)
		return rpc_async_call(fs->conn, "type.list",
				      json_pack("{s:s}", "parent", of->subject.parent->name),
				      file_read_answered, op);
	if (of->attr->from == ATTR_FROM_GROUP)
		return rpc_async_call(fs->conn, "group.list",
				      json_pack("{s:s}", "group", of->subject.group->uuid),
				      file_read_answered, op);
	return rpc_async_call(fs->conn, "mdev.qos",
			      json_pack("{s:s}", "uuid", of->subject.mdev->uuid),
			      file_read_answered, op);
}

static int file_read_begin(struct fs *fs, fuse_req_t req, struct fs_file *file, size_t size,
			   size_t off)
{
	struct fs_node of;
	struct fs_op *op;
	int r;

	if (!fs_look(fs, file->ino, &of) || !of.attr)
		return -ENODEV;
	if (!of.attr->show)
		return -EIO;
	if (of.attr->from == ATTR_FROM_TREE) {
		r = file_take_text(file, &of, NULL);
		if (r == 0)
			file_reply_text(req, file, size, off);
		return r;
	}
	op = calloc(1, sizeof(*op));
	if (!op)
		return -ENOMEM;
	*op = (struct fs_op){
		.fs = fs, .req = req, .ino = file->ino, .file = file, .size = size, .off = off};
	r = file_ask(fs, &of, op);
	if (r < 0)
		free(op);
	return r;
}

void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct fs *fs = fuse_req_userdata(req);
	struct fs_file *file = file_of(fi);
	int r = 0;

	if (off < 0)
		r = -EINVAL;
	else if (file->text && off > 0)
		file_reply_text(req, file, size, (size_t)off);
	else
		r = file_read_begin(fs, req, file, size, (size_t)off);
	if (r < 0)
		fuse_reply_err(req, -r);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void file_write_answered(void *arg, json_t *result, const struct umdev_error *err)
{
	struct fs_op *op = arg;
	struct fs *fs = op->fs;
	struct fs_node of;

	if (!result) {
		if (op->deed == ATTR_DEED_REMOVE && fs_look(fs, op->ino, &of) && of.subject.mdev)
			of.subject.mdev->removing = false;
		umdev_log(LOG_INFO, "umdev-sysfs", "tree.write", "%s", err->message);
		fuse_reply_err(op->req, -attr_errno(op->deed, err));
		free(op);
		return;
	}
	list_add_tail(&fs->done, &op->link);
	fs->written(fs->data);
}

void fs_reply_writes(struct fs *fs)
{
	while (!list_empty(&fs->done)) {
		struct fs_op *op = list_first(&fs->done, struct fs_op, link);

		list_del(&op->link);
		fuse_reply_write(op->req, op->count);
		free(op);
	}
}

static int file_call(struct fs *fs, fuse_req_t req, const struct fs_node *of,
		     struct attr_action *action, size_t count)
{
	struct fs_op *op = calloc(1, sizeof(*op));
	int r;

	if (!op) {
		json_decref(action->params);
		return -ENOMEM;
	}
	*op = (struct fs_op){.fs = fs,
			     .req = req,
			     .ino = node_number(of->node),
			     .deed = action->deed,
			     .count = count};
	r = rpc_async_call(fs->conn, action->method, action->params, file_write_answered, op);
	if (r < 0) {
		free(op);
		return r == -ENOTCONN ? -ENODEV : r;
	}
	if (action->deed == ATTR_DEED_REMOVE)
		of->subject.mdev->removing = true;
	return 0;
}

void fs_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct fs *fs = fuse_req_userdata(req);
	struct attr_action action = {0};
	char text[ATTR_SIZE + 1];
	size_t count = MIN(size, (size_t)ATTR_SIZE);
	struct fs_node of;
	int r = 0;

	memcpy(text, data, count);
	text[count] = '\0';
	if (!fs_look(fs, file_of(fi)->ino, &of) || !of.attr)
		r = -ENODEV;
	else if (!of.attr->store)
		r = -EIO;
	if (r == 0)
		r = of.attr->store(&of.subject, of.attr, text, count, &action);
	if (r == 0 && action.method) {
		r = file_call(fs, req, &of, &action, count);
	} else if (r == 0) {
		if (action.deed == ATTR_DEED_UEVENT)
			fs->uevent(fs->data, &of.subject, action.word);
		fuse_reply_write(req, count);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
}

/* ---- Waiting for changes --------------------------------------------------------------------- */

static unsigned file_poll_events(const struct fs *fs, const struct fs_file *file)
{
	struct fs_node of;

	if (!fs_look(fs, file->ino, &of) || !of.attr)
		return FILE_POLL_ALWAYS | FILE_POLL_CHANGED;
	return FILE_POLL_ALWAYS | (file_changes(&of) != file->seen ? FILE_POLL_CHANGED : 0);
}

void fs_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	const struct fs *fs = fuse_req_userdata(req);
	struct fs_file *file = file_of(fi);

	if (ph) {
		if (file->ph)
			fuse_pollhandle_destroy(file->ph);
		file->ph = ph;
	}
	fuse_reply_poll(req, file_poll_events(fs, file));
}

void fs_wake(struct fs *fs)
{
	struct fs_file *file;

	list_for_each (file, &fs->files, link) {
		if (!file->ph || !(file_poll_events(fs, file) & FILE_POLL_CHANGED))
			continue;
		fuse_lowlevel_notify_poll(file->ph);
		fuse_pollhandle_destroy(file->ph);
		file->ph = NULL;
	}
}
