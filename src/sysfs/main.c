/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * umdev-sysfs: mounts the tree of a daemon and serves it until the daemon ends or it is told to.
 *
 * It is a client of the daemon like any other and holds nothing that is not the daemon's: killed,
 * it takes the mount away and nothing else, and another one makes the same tree.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sysfs/serve.h"
#include "sysfs/sync.h"
#include "sysfs/tell.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/udev.h"

#define EXIT_USAGE	     2
#define EXIT_NO_MOUNT	     3 /* it will not be otherwise the next time */

#define MAIN_TREE	     "run/umdev/tree"
#define MAIN_LOCK	     "run/umdev/tree.lock"
#define MAIN_LOCK_WAIT	     (10 * NS_PER_S) /* for one that is ending */
#define MAIN_LOCK_AGAIN	     (20 * NS_PER_MS)

#define MAIN_LISTENERS_WAIT  (50 * NS_PER_MS)
#define MAIN_LISTENERS_AGAIN NS_PER_MS
#define MAIN_LISTENERS_HANG  (500 * NS_PER_MS)

static const char main_usage[] =
	"usage: umdev-sysfs [--root DIR] [--mount DIR] [--no-uevents] [--ready-fd N] [--debug]\n"
	"Mounts the tree of mediated devices of umdevd. See umdev-sysfs(7).\n";

struct sysfs {
	struct reactor *reactor;
	struct tree tree;
	struct sync *sync;
	struct fs fs;
	struct serve serve;
	struct tell tell;
	struct reactor_fd signals;
	struct reactor_timer lock_timer;
	uint64_t lock_deadline_ns;
	struct reactor_timer write_timer;
	uint64_t write_deadline_ns;
	uint64_t listeners_hang_until_ns; /* so long they are not waited for */
	char *root;
	char *mount;
	int lock_fd;
	int ready_fd;
	int code; /* of the exit */
	bool filled;
	bool uevents;
};

static void main_stop(struct sysfs *sysfs, int code)
{
	sysfs->code = code;
	reactor_stop(sysfs->reactor);
}

/* ---- What happens to the mirror -------------------------------------------------------------- */

static void main_parent_came(void *data, const struct tree_parent *parent)
{
	struct sysfs *sysfs = data;

	tell_parent(&sysfs->tell, parent, true);
}

static void main_parent_goes(void *data, const struct tree_parent *parent)
{
	struct sysfs *sysfs = data;

	tell_parent(&sysfs->tell, parent, false);
}

static void main_mdev_came(void *data, const struct tree_mdev *mdev)
{
	struct sysfs *sysfs = data;

	/* Who was behind may have been held up by that very writer, as libvirt is while it starts a
	 * definition, and has read since: worth waiting for again. */
	if (sysfs->listeners_hang_until_ns > 0 && !udev_listeners_behind())
		sysfs->listeners_hang_until_ns = 0;
	tell_mdev(&sysfs->tell, mdev, true);
}

static void main_mdev_goes(void *data, const struct tree_mdev *mdev)
{
	struct sysfs *sysfs = data;

	tell_mdev(&sysfs->tell, mdev, false);
}

static void main_mdev_changed(void *data, const struct tree_mdev *mdev, const json_t *before)
{
	struct sysfs *sysfs = data;

	tell_mdev_changed(&sysfs->tell, mdev, before);
}

static void main_pool_changed(void *data, const struct tree_parent *parent)
{
	struct sysfs *sysfs = data;

	tell_pool_changed(&sysfs->tell, parent);
}

static void main_group_changed(void *data, const struct tree_group *group)
{
	struct sysfs *sysfs = data;

	tell_group_changed(&sysfs->tell, group);
}

/* ---- The mount ------------------------------------------------------------------------------- */

static void main_mount(struct sysfs *sysfs)
{
	struct umdev_error err = {0};

	if (serve_mount(&sysfs->serve, sysfs->mount, &err) < 0) {
		umdev_log(LOG_WARNING, "umdev-sysfs", "tree.mount", "%s", err.message);
		main_stop(sysfs, EXIT_NO_MOUNT);
		return;
	}
	touch_start(&sysfs->tell.touch, sysfs->reactor, sysfs->mount);
	umdev_log(LOG_INFO, "umdev-sysfs", "tree.mounted", "serves %s", sysfs->mount);
	if (sysfs->ready_fd >= 0 && write(sysfs->ready_fd, "r", 1) < 0)
		umdev_log(LOG_DEBUG, "umdev-sysfs", "tree.ready", "nobody waits for it");
	fd_close(&sysfs->ready_fd);
}

/* One server for a tree: whoever holds the lock. One whose daemon died is about to let go. */
static void main_lock(struct reactor_timer *timer)
{
	struct sysfs *sysfs = container_of(timer, struct sysfs, lock_timer);

	if (flock(sysfs->lock_fd, LOCK_EX | LOCK_NB) == 0) {
		main_mount(sysfs);
		return;
	}
	if (clock_now_ns() > sysfs->lock_deadline_ns) {
		umdev_log(LOG_ERR, "umdev-sysfs", "tree.lock",
			  "another umdev-sysfs serves %s: end that first", sysfs->mount);
		main_stop(sysfs, EXIT_FAILURE);
		return;
	}
	reactor_timer_set(sysfs->reactor, &sysfs->lock_timer, clock_now_ns() + MAIN_LOCK_AGAIN);
}

/* ---- Writes ---------------------------------------------------------------------------------- */

/* Answers writes once udev's listeners have read of what they did: libvirt looks for a device that
 * it had created once, and then sleeps for five seconds. */
static void main_answer(struct reactor_timer *timer)
{
	struct sysfs *sysfs = container_of(timer, struct sysfs, write_timer);
	uint64_t now = clock_now_ns();

	if (sysfs->tell.uevent.fd >= 0 && now >= sysfs->listeners_hang_until_ns &&
	    udev_listeners_behind()) {
		if (now < sysfs->write_deadline_ns) {
			reactor_timer_set(sysfs->reactor, timer, now + MAIN_LISTENERS_AGAIN);
			return;
		}
		sysfs->listeners_hang_until_ns = now + MAIN_LISTENERS_HANG;
	}
	fs_reply_writes(&sysfs->fs);
}

static void main_written(void *data)
{
	struct sysfs *sysfs = data;

	/* The writer must find what it did. */
	if (!sync_drain(sysfs->sync) || sysfs->write_timer.armed)
		return;
	sysfs->write_deadline_ns = clock_now_ns() + MAIN_LISTENERS_WAIT;
	main_answer(&sysfs->write_timer);
}

static void main_settled(void *data)
{
	struct sysfs *sysfs = data;

	if (!sysfs->filled) {
		sysfs->filled = true;
		sysfs->lock_timer.expired = main_lock;
		sysfs->lock_deadline_ns = clock_now_ns() + MAIN_LOCK_WAIT;
		main_lock(&sysfs->lock_timer);
		return;
	}
	serve_settled(&sysfs->serve);
	if (!list_empty(&sysfs->fs.done))
		main_written(sysfs);
}

static bool main_is_settled(void *data)
{
	struct sysfs *sysfs = data;

	return sync_drain(sysfs->sync);
}

static void main_write_uevent(void *data, const struct subject *s, const char *action)
{
	struct sysfs *sysfs = data;

	tell_action(&sysfs->tell, s, action);
}

static void main_ended(void *data)
{
	struct sysfs *sysfs = data;

	umdev_log(LOG_INFO, "umdev-sysfs", "tree.unmounted", "somebody unmounted %s", sysfs->mount);
	main_stop(sysfs, EXIT_SUCCESS);
}

static void main_closed(void *data, const struct umdev_error *err)
{
	struct sysfs *sysfs = data;

	umdev_log(LOG_INFO, "umdev-sysfs", "tree.stop", "%s", err->message);
	/* A daemon that lives on starts another one. */
	main_stop(sysfs, EXIT_FAILURE);
}

static void main_no_event(void *data, json_t *event)
{
	(void)data;
	(void)event; /* this connection watches none */
}

static void main_signalled(struct reactor_fd *source, uint32_t events)
{
	struct sysfs *sysfs = container_of(source, struct sysfs, signals);
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) == sizeof(info))
		main_stop(sysfs, EXIT_SUCCESS);
}

/* ---- Begin and end --------------------------------------------------------------------------- */

static int main_watch_signals(struct sysfs *sysfs)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	sysfs->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sysfs->signals.fd < 0)
		return -errno;
	sysfs->signals.events = EPOLLIN;
	sysfs->signals.ready = main_signalled;
	return reactor_fd_add(sysfs->reactor, &sysfs->signals);
}

/* Finds the place of the mount and makes it. */
static int main_prepare_mount(struct sysfs *sysfs, struct umdev_error *err)
{
	umdev_autofree char *lock = NULL;
	const char *root = strcmp(sysfs->root, "/") == 0 ? "" : sysfs->root;

	if (!sysfs->mount && asprintf(&sysfs->mount, "%s/" MAIN_TREE, root) < 0) {
		sysfs->mount = NULL;
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	if (mkdir(sysfs->mount, 0755) < 0 && errno != EEXIST)
		return error_set(err, error_word_from_errno(errno), "cannot make %s: %s",
				 sysfs->mount, strerror(errno));
	if (asprintf(&lock, "%s/" MAIN_LOCK, root) < 0) {
		lock = NULL;
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	}
	sysfs->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (sysfs->lock_fd < 0)
		return error_set(err, error_word_from_errno(errno), "cannot open %s: %s", lock,
				 strerror(errno));
	return 0;
}

static int main_begin(struct sysfs *sysfs, struct umdev_error *err)
{
	static const struct rpc_async_ops rpc_ops = {.event = main_no_event, .closed = main_closed};
	static const struct sync_ops sync_ops = {
		.parent_came = main_parent_came,
		.parent_goes = main_parent_goes,
		.mdev_came = main_mdev_came,
		.mdev_goes = main_mdev_goes,
		.mdev_changed = main_mdev_changed,
		.pool_changed = main_pool_changed,
		.group_changed = main_group_changed,
		.settled = main_settled,
		.closed = main_closed,
	};
	int r = main_watch_signals(sysfs);

	if (r < 0)
		return error_set(err, ERROR_INTERNAL, "cannot begin: %s", strerror(-r));
	r = main_prepare_mount(sysfs, err);
	if (r == 0)
		r = rpc_async_new(sysfs->reactor, sysfs->root, &rpc_ops, sysfs, &sysfs->fs.conn,
				  err);
	if (r == 0)
		r = sync_new(&(struct sync_config){.reactor = sysfs->reactor,
						   .root = sysfs->root,
						   .tree = &sysfs->tree,
						   .ops = &sync_ops,
						   .data = sysfs},
			     &sysfs->sync, err);
	return r;
}

static int main_run(struct sysfs *sysfs)
{
	struct umdev_error err = {0};
	int r;

	tree_init(&sysfs->tree);
	fs_init(&sysfs->fs);
	sysfs->fs.tree = &sysfs->tree;
	sysfs->fs.uid = geteuid();
	sysfs->fs.gid = getegid();
	sysfs->fs.settled = main_is_settled;
	sysfs->fs.written = main_written;
	sysfs->write_timer.expired = main_answer;
	sysfs->fs.uevent = main_write_uevent;
	sysfs->fs.data = sysfs;
	sysfs->reactor = reactor_new();
	sysfs->serve = (struct serve){
		.reactor = sysfs->reactor, .fs = &sysfs->fs, .ended = main_ended, .data = sysfs};
	sysfs->tell.tree = &sysfs->tree;
	sysfs->fs.touch = &sysfs->tell.touch;
	uevent_open(&sysfs->tell.uevent, sysfs->uevents);
	r = sysfs->reactor ? main_begin(sysfs, &err)
			   : error_set(&err, ERROR_INTERNAL, "cannot begin: %s", strerror(errno));
	if (r < 0) {
		umdev_log(LOG_ERR, "umdev-sysfs", "tree.start", "%s", err.message);
		sysfs->code = EXIT_FAILURE;
	} else if (reactor_run(sysfs->reactor) < 0) {
		sysfs->code = EXIT_FAILURE;
	}
	rpc_async_free(umdev_steal_ptr(&sysfs->fs.conn));
	sync_free(sysfs->sync);
	touch_stop(&sysfs->tell.touch);
	serve_unmount(&sysfs->serve);
	touch_reap(&sysfs->tell.touch);
	tree_done(&sysfs->tree);
	uevent_close(&sysfs->tell.uevent);
	if (sysfs->reactor) {
		reactor_timer_cancel(sysfs->reactor, &sysfs->lock_timer);
		reactor_timer_cancel(sysfs->reactor, &sysfs->write_timer);
		reactor_fd_del(sysfs->reactor, &sysfs->signals);
	}
	fd_close(&sysfs->signals.fd);
	fd_close(&sysfs->lock_fd);
	fd_close(&sysfs->ready_fd);
	reactor_free(sysfs->reactor);
	return sysfs->code;
}

/* Returns -1 to go on, or the exit code. */
static int main_parse(int argc, char **argv, struct sysfs *sysfs, bool *ret_debug)
{
	static const struct option longs[] = {
		{"root", required_argument, NULL, 'r'}, {"mount", required_argument, NULL, 'm'},
		{"no-uevents", no_argument, NULL, 'u'}, {"ready-fd", required_argument, NULL, 'f'},
		{"debug", no_argument, NULL, 'd'},	{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	{NULL, 0, NULL, 0},
	};
	const char *root = getenv("UMDEV_ROOT");
	char *end = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			root = optarg;
			break;
		case 'm':
			free(sysfs->mount);
			sysfs->mount = strdup(optarg);
			break;
		case 'u':
			sysfs->uevents = false;
			break;
		case 'f':
			sysfs->ready_fd = (int)strtol(optarg, &end, 10);
			break;
		case 'd':
			*ret_debug = true;
			break;
		case 'h':
			fputs(main_usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("umdev-sysfs " UMDEV_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(main_usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc || (end && (*end || fcntl(sysfs->ready_fd, F_SETFD, FD_CLOEXEC) < 0))) {
		fputs(main_usage, stderr);
		return EXIT_USAGE;
	}
	sysfs->root = realpath(root && root[0] ? root : "/", NULL);
	if (!sysfs->root) {
		fprintf(stderr, "umdev-sysfs: cannot use the root %s: %s\n", root, strerror(errno));
		return EXIT_FAILURE;
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct sysfs sysfs = {.lock_fd = -1, .ready_fd = -1, .signals.fd = -1, .uevents = true};
	bool debug = false;
	int code = main_parse(argc, argv, &sysfs, &debug);

	if (code < 0) {
		log_setup("umdev-sysfs", debug ? LOG_DEBUG : LOG_INFO);
		code = main_run(&sysfs);
	}
	free(sysfs.root);
	free(sysfs.mount);
	return code;
}
