/* SPDX-License-Identifier: BSD-3-Clause */
/* Nodes as the kernel sees them: found, described, listed, and what may not be done. See fs.h. */
#include "sysfs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sysfs/attr.h"
#include "sysfs/fs-internal.h"
#include "sysfs/touch.h"

#define FS_LINK_MAX  1024
#define FS_TIMEOUT_S 86400.0

void fs_init(struct fs *fs)
{
	memset(fs, 0, sizeof(*fs));
	list_init(&fs->files);
	list_init(&fs->done);
	clock_gettime(CLOCK_REALTIME, &fs->since);
}

/* ---- What a node is -------------------------------------------------------------------------- */

bool fs_look(const struct fs *fs, fuse_ino_t ino, struct fs_node *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!node_from_number(ino, &ret->node) || !node_resolve(fs->tree, ret->node, &ret->subject))
		return false;
	ret->mode = node_is_link(ret->node) ? S_IFLNK | 0777 : S_IFDIR | 0755;
	if (ret->node.row == 0)
		return true;
	ret->attr = attr_of(&ret->subject, ret->node, &ret->made);
	if (!ret->attr)
		return false;
	ret->mode = ret->attr->mode;
	return true;
}

void fs_stat(const struct fs *fs, const struct fs_node *of, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = node_number(of->node);
	st->st_mode = of->mode;
	st->st_nlink = 1; /* of a directory: not counted */
	st->st_uid = fs->uid;
	st->st_gid = fs->gid;
	st->st_blksize = ATTR_SIZE;
	st->st_atim = st->st_mtim = st->st_ctim = fs->since;
	if (S_ISREG(of->mode))
		st->st_size = of->attr->size ? (off_t)of->attr->size : ATTR_SIZE;
}

/* Permission bits that are missing from @mode for who asks, of @want (R_OK, W_OK, X_OK). The bits
 * hold for root, who counts as the owner. */
static int fs_denied(const struct fs *fs, fuse_req_t req, uint32_t mode, int want)
{
	const struct fuse_ctx *who = fuse_req_ctx(req);
	int bits = (int)mode & 7;

	if (who->uid == fs->uid || who->uid == 0)
		bits = (int)mode >> 6 & 7;
	else if (who->gid == fs->gid)
		bits = (int)mode >> 3 & 7;
	return want & ~bits;
}

/* ---- The helper of touch.h ------------------------------------------------------------------- */

static const struct touch_job *fs_helps(const struct fs *fs, fuse_req_t req)
{
	return touch_current(fs->touch, fuse_req_ctx(req)->pid);
}

/* The helper's job if it is about entry @name of @parent. */
static const struct touch_job *fs_helps_at(const struct fs *fs, fuse_req_t req, fuse_ino_t parent,
					   const char *name)
{
	const struct touch_job *job = fs_helps(fs, req);
	const char *slash = job ? strrchr(job->path, '/') : NULL;

	return slash && job->dir == parent && strcmp(slash + 1, name) == 0 ? job : NULL;
}

static bool fs_has_come(const struct touch_job *job)
{
	return job && (job->deed == TOUCH_CAME_DIR || job->deed == TOUCH_CAME_LINK);
}

static bool fs_has_gone(const struct touch_job *job)
{
	return job && (job->deed == TOUCH_WENT_DIR || job->deed == TOUCH_WENT_LINK);
}

/* ---- Finding and describing ------------------------------------------------------------------ */

/* For how long, in seconds, the kernel may believe what it heard of a node. Names of things that
 * come and go are asked about every time, and so everything below them. */
static double fs_timeout(struct node node)
{
	return node_is_fixed(node) ? FS_TIMEOUT_S : 0;
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct fs *fs = fuse_req_userdata(req);
	struct fs_node of;
	struct stat st;

	if (!fs_look(fs, ino, &of)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	fs_stat(fs, &of, &st);
	fuse_reply_attr(req, &st, fs_timeout(of.node));
}

/* A new size is accepted and ignored; times are; nothing else can be changed. */
static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *wish, int to_set,
		       struct fuse_file_info *fi)
{
	const struct fs *fs = fuse_req_userdata(req);
	struct fs_node of;

	if (!fs_look(fs, ino, &of))
		fuse_reply_err(req, ENOENT);
	else if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		fuse_reply_err(req, EPERM);
	else if (!S_ISREG(of.mode) || (!fs_helps(fs, req) && fs_denied(fs, req, of.mode, W_OK)))
		fuse_reply_err(req, EACCES);
	else
		fs_getattr(req, ino, fi);
}

static void fs_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	const struct fs *fs = fuse_req_userdata(req);
	struct fs_node of;

	if (!fs_look(fs, ino, &of))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_err(req, fs_denied(fs, req, of.mode, mask & 7) ? EACCES : 0);
}

static void fs_reply_node(fuse_req_t req, const struct fs *fs, const struct fs_node *of)
{
	struct fuse_entry_param entry = {.generation = 1, .ino = node_number(of->node)};

	entry.entry_timeout = entry.attr_timeout = fs_timeout(of->node);
	fs_stat(fs, of, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fs *fs = fuse_req_userdata(req);
	const struct touch_job *job = fs_helps_at(fs, req, parent, name);
	struct fs_node dir;
	struct fs_node of = {0};
	struct node node;

	/* What went is still there to be removed by the helper, what came not yet. */
	if (fs_has_gone(job) && node_from_number(job->node, &of.node)) {
		of.mode = job->deed == TOUCH_WENT_DIR ? S_IFDIR | 0755 : S_IFLNK | 0777;
		fs_reply_node(req, fs, &of);
	} else if (!fs_has_come(job) && fs_look(fs, parent, &dir) &&
		   node_find(fs->tree, dir.node, name, &node) &&
		   fs_look(fs, node_number(node), &of)) {
		fs_reply_node(req, fs, &of);
	} else {
		fuse_reply_err(req, ENOENT);
	}
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
	const struct fs *fs = fuse_req_userdata(req);
	char target[FS_LINK_MAX];
	struct fs_node of;
	int n = 0;

	if (!fs_look(fs, ino, &of)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (of.attr)
		n = of.attr->show(&of.subject, of.attr, NULL, target, sizeof(target) - 1);
	else
		node_link_target(&of.subject, of.node, target, sizeof(target));
	if (n < 0) {
		fuse_reply_err(req, -n);
		return;
	}
	if (of.attr)
		target[n] = '\0';
	fuse_reply_readlink(req, target);
}

/* ---- Directories ----------------------------------------------------------------------------- */

/* A directory as it was when it was opened, in the form in which the kernel reads it. */
struct fs_dir {
	fuse_req_t req;
	const struct fs *fs;
	char *data;
	size_t len;
	size_t room;
	bool failed;
};

static bool fs_dir_add(struct fs_dir *dir, const char *name, struct node node)
{
	size_t need = fuse_add_direntry(dir->req, NULL, 0, name, NULL, 0);
	struct stat st = {.st_ino = node_number(node)};
	struct fs_node of;

	if (!fs_look(dir->fs, st.st_ino, &of))
		return true;
	st.st_mode = of.mode;
	if (dir->len + need > dir->room) {
		size_t room = MAX(dir->room * 2, (size_t)4096);
		char *data = realloc(dir->data, room);

		dir->failed = !data;
		if (!data)
			return false;
		dir->data = data;
		dir->room = room;
	}
	fuse_add_direntry(dir->req, dir->data + dir->len, need, name, &st,
			  (off_t)(dir->len + need));
	dir->len += need;
	return true;
}

static bool fs_dir_emit(void *data, const char *name, struct node node)
{
	return fs_dir_add(data, name, node);
}

static void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct fs *fs = fuse_req_userdata(req);
	struct fs_dir *dir = calloc(1, sizeof(*dir));
	struct fs_node of;

	if (!dir || !fs_look(fs, ino, &of)) {
		fuse_reply_err(req, dir ? ENOENT : ENOMEM);
		free(dir);
		return;
	}
	dir->req = req;
	dir->fs = fs;
	if (fs_dir_add(dir, ".", of.node) && fs_dir_add(dir, "..", node_up(fs->tree, of.node)))
		node_list(fs->tree, of.node, fs_dir_emit, dir);
	if (dir->failed) {
		fuse_reply_err(req, ENOMEM);
	} else {
		fi->fh = (uint64_t)(uintptr_t)dir;
		if (fuse_reply_open(req, fi) == 0)
			return;
	}
	free(dir->data);
	free(dir);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	const struct fs_dir *dir = (struct fs_dir *)(uintptr_t)fi->fh;

	if (off < 0 || (size_t)off >= dir->len)
		fuse_reply_buf(req, NULL, 0);
	else
		fuse_reply_buf(req, dir->data + off, MIN(size, dir->len - (size_t)off));
}

static void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_dir *dir = (struct fs_dir *)(uintptr_t)fi->fh;

	free(dir->data);
	free(dir);
	fuse_reply_err(req, 0);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fuse_req_userdata(req);
	int how = fi->flags & O_ACCMODE;
	int want = how == O_RDONLY ? R_OK : how == O_WRONLY ? W_OK : R_OK | W_OK;
	struct fs_node of;
	int r = 0;

	if (!fs_look(fs, ino, &of) || !S_ISREG(of.mode))
		r = ENOENT;
	else if (fs_denied(fs, req, of.mode, want))
		r = EACCES;
	if (r == 0)
		r = -fs_file_open(fs, &of, fi);
	if (r > 0) {
		fuse_reply_err(req, r);
		return;
	}
	fi->direct_io = 1;
	if (fuse_reply_open(req, fi) < 0)
		fs_file_close(fs, fi);
}

static void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fs_file_close(fuse_req_userdata(req), fi);
	fuse_reply_err(req, 0);
}

/* ---- What may not be done -------------------------------------------------------------------- */

/* No operation at all for the owner, as in sysfs; no permission for others. */
static void fs_refuse(fuse_req_t req)
{
	const struct fs *fs = fuse_req_userdata(req);

	fuse_reply_err(req, fs_denied(fs, req, 0755, W_OK) ? EACCES : EPERM);
}

static void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	fuse_reply_err(req, EACCES);
}

static void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	fs_refuse(req);
}

/* What came, made by the helper. */
static void fs_make(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fs *fs = fuse_req_userdata(req);
	const struct touch_job *job = fs_helps_at(fs, req, parent, name);
	struct fs_node of;

	if (!fs_has_come(job))
		fs_refuse(req);
	else if (!fs_look(fs, job->node, &of)) /* it went again */
		fuse_reply_err(req, ENOENT);
	else
		fs_reply_node(req, fs, &of);
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fs_make(req, parent, name);
}

static void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	fs_make(req, parent, name);
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (fs_has_gone(fs_helps_at(fuse_req_userdata(req), req, parent, name)))
		fuse_reply_err(req, 0);
	else
		fs_refuse(req);
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned int flags)
{
	fs_refuse(req);
}

static void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	fs_refuse(req);
}

const struct fuse_lowlevel_ops fs_ops = {
	.lookup = fs_lookup,
	.getattr = fs_getattr,
	.setattr = fs_setattr,
	.access = fs_access,
	.readlink = fs_readlink,
	.open = fs_open,
	.read = fs_read,
	.write = fs_write,
	.poll = fs_poll,
	.release = fs_release,
	.opendir = fs_opendir,
	.readdir = fs_readdir,
	.releasedir = fs_releasedir,
	.create = fs_create,
	.mknod = fs_mknod,
	.mkdir = fs_mkdir,
	.unlink = fs_unlink,
	.rmdir = fs_unlink,
	.symlink = fs_symlink,
	.rename = fs_rename,
	.link = fs_link,
};
