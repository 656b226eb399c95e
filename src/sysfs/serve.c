/* SPDX-License-Identifier: BSD-3-Clause */
/* Mounting, and the loop's part in serving. See serve.h. */
#include "sysfs/serve.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/log.h"

#define SERVE_OPTIONS	"fsname=umdev,subtype=umdev-sysfs,nosuid,nodev,noexec"
#define SERVE_FUSE_CONF "/etc/fuse.conf"
#define SERVE_STALE_MAX 16 /* dead mounts over each other */

extern char **environ;

/* ---- Requests -------------------------------------------------------------------------------- */

static void serve_listen(struct serve *serve, bool on)
{
	serve->paused = !on;
	if (reactor_fd_events(serve->reactor, &serve->source, on ? EPOLLIN : 0) < 0)
		umdev_log(LOG_ERR, "umdev-sysfs", "tree.serve", "cannot wait for requests");
}

/* Handles the request in serve->held if the mirror may be asked. */
static bool serve_process(struct serve *serve)
{
	serve->holding = true;
	if (!serve->fs->settled(serve->fs->data)) {
		if (!serve->paused)
			serve_listen(serve, false);
		return false;
	}
	serve->holding = false;
	fuse_session_process_buf(serve->session, &serve->held);
	return true;
}

static void serve_ready(struct reactor_fd *source, uint32_t events)
{
	struct serve *serve = container_of(source, struct serve, source);

	int n = fuse_session_receive_buf(serve->session, &serve->held);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0 || fuse_session_exited(serve->session)) {
		reactor_fd_del(serve->reactor, &serve->source);
		serve->ended(serve->data);
		return;
	}
	serve_process(serve);
}

void serve_settled(struct serve *serve)
{
	fs_wake(serve->fs);
	if (!serve->session || !serve->paused)
		return;
	if (serve->holding && !serve_process(serve))
		return;
	serve_listen(serve, true);
}

/* ---- Mounting -------------------------------------------------------------------------------- */

static void serve_log(enum fuse_log_level level, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void serve_log(enum fuse_log_level level, const char *format, va_list ap)
{
	char text[512];
	size_t len;

	vsnprintf(text, sizeof(text), format, ap);
	len = strlen(text);
	if (len > 0 && text[len - 1] == '\n')
		text[len - 1] = '\0';
	umdev_log(LOG_DEBUG, "umdev-sysfs", "tree.fuse", "%s", text);
}

/* Has fusermount3 unmount for a user who may not do so himself. */
static void serve_ask_fusermount(const char *path)
{
	const char *argv[] = {"fusermount3", "-u", "-q", "-z", "--", path, NULL};
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char **)(uintptr_t)argv, environ) == 0)
		waitpid(pid, NULL, 0);
}

/* Takes away mounts whose server is dead. */
static void serve_clear(const char *path)
{
	struct stat st;

	for (int i = 0; i < SERVE_STALE_MAX && lstat(path, &st) < 0 && errno == ENOTCONN; i++) {
		umdev_log(LOG_INFO, "umdev-sysfs", "tree.stale", "unmounting what is dead at %s",
			  path);
		if (umount2(path, MNT_FORCE | MNT_DETACH) < 0)
			serve_ask_fusermount(path);
	}
}

/* A user's mount is for that user alone, unless fuse.conf says that users may do otherwise. */
static bool serve_may_be_for_all(void)
{
	umdev_autofclose FILE *conf = NULL;
	char line[256];

	if (geteuid() == 0)
		return true;
	conf = fopen(SERVE_FUSE_CONF, "re");
	while (conf && fgets(line, sizeof(line), conf)) {
		if (strncmp(line, "user_allow_other", strlen("user_allow_other")) == 0)
			return true;
	}
	return false;
}

static struct fuse_session *serve_try_mount(struct serve *serve, const char *path, bool for_all)
{
	const char *argv[] = {"umdev-sysfs", "-o",
			      for_all ? SERVE_OPTIONS ",allow_other" : SERVE_OPTIONS, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, (char **)(uintptr_t)argv);
	struct fuse_session *session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), serve->fs);

	fuse_opt_free_args(&args);
	if (session && fuse_session_mount(session, path) == 0)
		return session;
	if (session)
		fuse_session_destroy(session);
	return NULL;
}

int serve_mount(struct serve *serve, const char *path, struct umdev_error *err)
{
	int r;

	fuse_set_log_func(serve_log);
	serve_clear(path);
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return error_set(err, ERROR_NOT_PERMITTED, "cannot use /dev/fuse: %s",
				 strerror(errno));
	if (serve_may_be_for_all())
		serve->session = serve_try_mount(serve, path, true);
	if (!serve->session)
		serve->session = serve_try_mount(serve, path, false);
	if (!serve->session)
		return error_set(err, ERROR_NOT_PERMITTED,
				 "cannot mount at %s: neither mount nor fusermount3 may", path);
	serve->source.fd = fuse_session_fd(serve->session);
	serve->source.events = EPOLLIN;
	serve->source.ready = serve_ready;
	r = fd_set_nonblock(serve->source.fd, true);
	if (r == 0)
		r = reactor_fd_add(serve->reactor, &serve->source);
	if (r < 0) {
		serve_unmount(serve);
		return error_set(err, ERROR_INTERNAL, "cannot wait for requests: %s", strerror(-r));
	}
	return 0;
}

void serve_unmount(struct serve *serve)
{
	if (!serve->session)
		return;
	reactor_fd_del(serve->reactor, &serve->source);
	fuse_session_unmount(serve->session);
	fs_done(serve->fs);
	fuse_session_destroy(serve->session);
	serve->session = NULL;
	free(serve->held.mem);
	serve->held = (struct fuse_buf){0};
}
