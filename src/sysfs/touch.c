/* SPDX-License-Identifier: BSD-3-Clause */
/* The helper that makes inotify speak. See touch.h. */
#include "sysfs/touch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/log.h"

/* What is sent to the helper: a deed and the path, with its NUL. */
struct touch_message {
	uint32_t deed;
	char path[TOUCH_PATH_MAX];
};

/* ---- The helper ------------------------------------------------------------------------------ */

/* Truncates a file below @root, which tells those who watch it that it was modified. */
static void touch_truncate(int root, const char *path)
{
	char full[TOUCH_PATH_MAX + 32];

	snprintf(full, sizeof(full), "/proc/self/fd/%d/%s", root, path);
	(void)!truncate(full, 0);
}

static void touch_do(int root, const struct touch_message *message)
{
	switch ((enum touch_deed)message->deed) {
	case TOUCH_CHANGED:
		touch_truncate(root, message->path);
		break;
	case TOUCH_CAME_DIR:
		(void)!mkdirat(root, message->path, 0755);
		break;
	case TOUCH_CAME_LINK:
		(void)!symlinkat("-", root, message->path);
		break;
	case TOUCH_WENT_DIR:
		(void)!unlinkat(root, message->path, AT_REMOVEDIR);
		break;
	case TOUCH_WENT_LINK:
		(void)!unlinkat(root, message->path, 0);
		break;
	}
}

/* Does @message at the mount at @path, and lets go of it: it could not be unmounted otherwise. What
 * stands there instead of the one that was there first, *@dev, is left alone. */
static void touch_do_at(const char *path, dev_t *dev, const struct touch_message *message)
{
	int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (root < 0)
		return;
	if (fstat(root, &st) == 0) {
		if (*dev == 0)
			*dev = st.st_dev;
		if (*dev == st.st_dev)
			touch_do(root, message);
	}
	close(root);
}

/* Does not return. */
static void touch_help(int fd, const char *path, pid_t parent)
{
	struct touch_message message;
	dev_t dev = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	/* Above all not the connection to the kernel, which must end with the server. */
	if (getppid() != parent || dup2(fd, 3) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	for (;;) {
		ssize_t n = read(3, &message, sizeof(message));

		if (n <= (ssize_t)sizeof(message.deed) || n > (ssize_t)sizeof(message))
			_exit(0);
		((char *)&message)[MIN((size_t)n, sizeof(message)) - 1] = '\0';
		touch_do_at(path, &dev, &message);
		if (write(3, "", 1) != 1)
			_exit(0);
	}
}

/* ---- The server's side ----------------------------------------------------------------------- */

static void touch_next(struct touch *touch)
{
	const struct touch_job *job = &touch->queue[touch->first];
	struct touch_message message;
	size_t len;

	if (touch->busy || touch->count == 0)
		return;
	message.deed = (uint32_t)job->deed;
	len = strlen(job->path) + 1;
	memcpy(message.path, job->path, len);
	touch->busy = true;
	if (send(touch->source.fd, &message, offsetof(struct touch_message, path) + len,
		 MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		touch_stop(touch);
}

static void touch_answered(struct reactor_fd *source, uint32_t events)
{
	struct touch *touch = container_of(source, struct touch, source);
	char byte;

	if (recv(source->fd, &byte, 1, MSG_DONTWAIT) != 1) {
		if (errno == EAGAIN)
			return;
		umdev_log(LOG_INFO, "umdev-sysfs", "tree.touch",
			  "inotify is not told of changes any more");
		touch_stop(touch);
		return;
	}
	touch->busy = false;
	touch->first = (touch->first + 1) % TOUCH_QUEUE_MAX;
	touch->count--;
	touch_next(touch);
}

void touch_start(struct touch *touch, struct reactor *reactor, const char *path)
{
	pid_t self = getpid();
	int pair[2];

	memset(touch, 0, sizeof(*touch));
	touch->reactor = reactor;
	touch->source.fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return;
	touch->source.fd = pair[0];
	touch->queue = calloc(TOUCH_QUEUE_MAX, sizeof(*touch->queue));
	touch->pid = touch->queue ? fork() : -1;
	if (touch->pid == 0)
		touch_help(pair[1], path, self);
	close(pair[1]);
	touch->source.events = EPOLLIN;
	touch->source.ready = touch_answered;
	if (touch->pid < 0 || reactor_fd_add(reactor, &touch->source) < 0)
		touch_stop(touch);
}

void touch_stop(struct touch *touch)
{
	if (!touch->reactor)
		return;
	reactor_fd_del(touch->reactor, &touch->source);
	fd_close(&touch->source.fd);
	if (touch->pid > 0) {
		kill(touch->pid, SIGKILL);
		touch->ended = touch->pid;
	}
	touch->pid = 0;
	free(touch->queue);
	touch->queue = NULL;
	touch->count = 0;
	touch->busy = false;
	touch->reactor = NULL;
}

void touch_reap(struct touch *touch)
{
	if (touch->ended > 0)
		waitpid(touch->ended, NULL, 0);
	touch->ended = 0;
}

void touch_tell(struct touch *touch, enum touch_deed deed, struct node dir, struct node node,
		const char *path)
{
	struct touch_job *job;

	if (touch->pid <= 0 || strlen(path) >= TOUCH_PATH_MAX)
		return;
	/* The one being done must stay. */
	if (touch->count == TOUCH_QUEUE_MAX)
		return;
	job = &touch->queue[(touch->first + touch->count++) % TOUCH_QUEUE_MAX];
	job->deed = deed;
	job->dir = node_number(dir);
	job->node = node_number(node);
	memcpy(job->path, path, strlen(path) + 1);
	touch_next(touch);
}

const struct touch_job *touch_current(const struct touch *touch, pid_t pid)
{
	return touch->pid > 0 && touch->pid == pid && touch->busy ? &touch->queue[touch->first]
								  : NULL;
}
