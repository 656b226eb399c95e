/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wakes those who watch the tree with inotify.
 *
 * inotify hears what is done through the file system, not what a server of one changes by itself.
 * So a helper process does it: it truncates an attribute that changed, makes what came and removes
 * what went. The kernel asks the server about these as about anybody's, and the server lets the
 * helper, and nobody else, succeed. The helper has nothing of the server open: should the server
 * die, the kernel ends whatever it was doing.
 *
 * This is a courtesy: while more happens than the helper can do, what comes is left out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sysfs/node.h"
#include "util/reactor.h"

#define TOUCH_QUEUE_MAX 1024
#define TOUCH_PATH_MAX	768

enum touch_deed {
	TOUCH_CHANGED,
	TOUCH_CAME_DIR,
	TOUCH_CAME_LINK,
	TOUCH_WENT_DIR,
	TOUCH_WENT_LINK,
};

/* One thing for the helper to do. */
struct touch_job {
	enum touch_deed deed;
	uint64_t dir;		   /* number of the directory */
	uint64_t node;		   /* number of what came, changed or went */
	char path[TOUCH_PATH_MAX]; /* below the mount */
};

struct touch {
	struct reactor *reactor;
	struct reactor_fd source; /* the helper's answers */
	pid_t pid;		  /* 0: there is no helper */
	pid_t ended;		  /* killed and not waited for yet */
	struct touch_job *queue;  /* a ring */
	size_t first;
	size_t count;
	bool busy; /* the first one is being done */
};

/* Starts the helper for the mount at @path. Without one nothing is told. */
void touch_start(struct touch *touch, struct reactor *reactor, const char *path);

/* Ends it. Safe on one that was not started. */
void touch_stop(struct touch *touch);

/* Waits for its end; only after the mount is gone, on which it may hang. */
void touch_reap(struct touch *touch);

/* Tells that @deed happened to @node, an entry of @dir, at @path below the mount. */
void touch_tell(struct touch *touch, enum touch_deed deed, struct node dir, struct node node,
		const char *path);

/* The job that process @pid is at: NULL unless it is the helper. */
const struct touch_job *touch_current(const struct touch *touch, pid_t pid);
