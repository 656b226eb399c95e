/* SPDX-License-Identifier: BSD-3-Clause */
/* One root directory and all that is in it: begin and end. See broker.h. */
#include "broker/broker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/api.h"
#include "broker/ask.h"
#include "broker/endpoint.h"
#include "broker/fdstore.h"
#include "broker/group.h"
#include "broker/journal.h"
#include "broker/mdev.h"
#include "broker/parent.h"
#include "broker/store.h"
#include "broker/stored.h"
#include "broker/takeover.h"
#include "broker/watch.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/parse.h"

#define BROKER_LOCK_WAIT_NS (2 * NS_PER_S)
#define BROKER_LOCK_LOOK_NS (2 * NS_PER_MS)

const struct broker_config broker_defaults = {
	.call_timeout_ns = 10 * NS_PER_S,
	.discard_timeout_ns = 600 * NS_PER_S,
	.exit_timeout_ns = 8 * NS_PER_S,
	.settle_timeout_ns = 500 * NS_PER_MS,
	.lock_timeout_ns = 10 * NS_PER_S,
	.restart_delay_ns = 50 * NS_PER_MS,
	.restart_delay_max_ns = 5 * NS_PER_S,
	.restart_probation_ns = 500 * NS_PER_MS,
	.restart_deaths_max = 6,
	.keep_fds_max = 4096,
};

static void broker_run_booted(struct reactor_task *task)
{
	struct broker *broker = container_of(task, struct broker, booted_task);
	struct parent *parent;

	list_for_each (parent, &broker->parents, link)
		journal_autostarted(parent);
	group_booted(broker);
	if (broker->booted)
		broker->booted(broker);
}

static void broker_run_ended(struct reactor_task *task)
{
	struct broker *broker = container_of(task, struct broker, ended_task);

	if (broker->ended)
		broker->ended(broker);
}

/* The process that the lock file names, as text; "" for none. */
static void broker_lock_holder(const struct broker *broker, char pid[24])
{
	ssize_t n = pread(broker->lock_fd, pid, 23, 0);

	pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
}

/* Locks. A child of a daemon that died between fork() and exec() has the lock for a moment longer.
 */
static int broker_lock_take(const struct broker *broker)
{
	uint64_t deadline = clock_now_ns() + BROKER_LOCK_WAIT_NS;
	struct timespec pause = {.tv_nsec = BROKER_LOCK_LOOK_NS};
	char text[24] = "";
	uint64_t pid;

	while (flock(broker->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		broker_lock_holder(broker, text);
		if (parse_u64(text, &pid) < 0 || pid == 0 || pid > INT32_MAX ||
		    kill((pid_t)pid, 0) == 0 || errno != ESRCH || clock_now_ns() > deadline)
			return -EWOULDBLOCK;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* One daemon per root: whoever holds the lock is it. */
static int broker_lock(struct broker *broker, struct umdev_error *err)
{
	char pid[24] = "";
	int r;

	broker->lock_fd = openat(broker->root_fd, BROKER_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (broker->lock_fd < 0)
		return error_set(err, error_word_from_errno(errno), "cannot open %s/%s: %s",
				 broker->config.root, BROKER_LOCK, strerror(errno));
	r = broker_lock_take(broker);
	if (r < 0) {
		if (r != -EWOULDBLOCK)
			return error_set(err, ERROR_INTERNAL, "cannot lock %s: %s", BROKER_LOCK,
					 strerror(-r));
		broker_lock_holder(broker, pid);
		return error_set(err, ERROR_LOCKED,
				 "another umdevd (process %s) serves %s: stop it, or use another "
				 "--root",
				 pid[0] ? pid : "unknown", broker->config.root);
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(broker->lock_fd, 0) < 0 || pwrite(broker->lock_fd, pid, strlen(pid), 0) < 0)
		return error_set(err, error_word_from_errno(errno), "cannot write %s: %s",
				 BROKER_LOCK, strerror(errno));
	return 0;
}

/* Removes the sockets of what was active under a daemon that died and is not now. Only what we name
 * is touched. */
static void broker_clear_sockets(struct broker *broker)
{
	struct dirent **names = NULL;
	int n = scandirat(broker->root_fd, BROKER_SOCKETS_DIR, &names, NULL, NULL);

	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];
		char uuid[IDENT_UUID_SIZE];

		if (ident_uuid_parse(names[i]->d_name, uuid) == 0 &&
		    !mdev_find_active(broker, uuid)) {
			snprintf(path, sizeof(path), "%s/%s/%s", BROKER_SOCKETS_DIR, uuid,
				 BROKER_SOCKET_NAME);
			unlinkat(broker->root_fd, path, 0);
			snprintf(path, sizeof(path), "%s/%s/%s", BROKER_SOCKETS_DIR, uuid,
				 BROKER_SOCKET_NEW);
			unlinkat(broker->root_fd, path, 0);
			snprintf(path, sizeof(path), "%s/%s", BROKER_SOCKETS_DIR, uuid);
			endpoints_clear(broker->root_fd, path);
			unlinkat(broker->root_fd, path, AT_REMOVEDIR);
		}
		free(names[i]);
	}
	free(names);
}

int broker_new(const struct broker_config *config, struct reactor *reactor,
	       struct broker **ret_broker, struct umdev_error *err)
{
	struct broker *broker = calloc(1, sizeof(*broker));
	int r;

	if (!broker)
		return error_set(err, ERROR_NO_MEMORY, "out of memory");
	broker->config = *config;
	broker->reactor = reactor;
	broker->lock_fd = -1;
	broker->uid = geteuid();
	list_init(&broker->parents);
	list_init(&broker->mdevs);
	list_init(&broker->groups);
	list_init(&broker->group_starts);
	list_init(&broker->strays);
	list_init(&broker->asks);
	list_init(&broker->put_off);
	events_init(&broker->events);
	broker->booted_task.run = broker_run_booted;
	broker->ended_task.run = broker_run_ended;
	broker->root_fd = open(config->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (broker->root_fd < 0)
		r = error_set(err, error_word_from_errno(errno), "cannot open the root %s: %s",
			      config->root, strerror(errno));
	else
		r = store_init(broker->root_fd, err);
	if (r == 0)
		r = broker_lock(broker, err);
	if (r < 0) {
		broker_free(broker);
		return r;
	}
	*ret_broker = broker;
	return 0;
}

int broker_boot(struct broker *broker, struct umdev_error *err)
{
	int r;

	broker->booting += 2;
	broker->takeovers++;		   /* until all were begun */
	broker->watch = watch_new(broker); /* first, so that nothing is missed */
	r = store_settle(broker, err);
	if (r == 0)
		r = store_load_definitions(broker, err);
	if (r == 0)
		r = group_load(broker, err);
	if (r == 0)
		stored_begin(broker);
	if (r == 0)
		r = store_load_parents(broker, err);
	if (r == 0)
		takeover_strays(broker);
	broker_taken_step(broker);
	broker_boot_step(broker);
	return r;
}

void broker_taken_step(struct broker *broker)
{
	struct parent *parent;
	struct parent *tmp;

	if (--broker->takeovers > 0)
		return;
	if (!broker->ending) {
		stored_end(broker);
		broker_clear_sockets(broker);
		mdev_undefine_again(broker);
		group_settle_all(broker);
		group_stop_again(broker);
		if (broker->taken)
			broker->taken(broker);
		ask_answer_all(broker);
		list_for_each_safe (parent, tmp, &broker->parents, link) {
			takeover_remake(parent);
			if (parent->autostart_waits)
				parent_autostart(parent);
		}
	}
	broker_boot_step(broker);
}

void broker_boot_step(struct broker *broker)
{
	if (--broker->booting == 0)
		reactor_task_add(broker->reactor, &broker->booted_task);
}

void broker_shutdown(struct broker *broker)
{
	struct parent *parent;
	struct parent *tmp;

	if (broker->ending)
		return;
	broker->ending = true;
	list_for_each_safe (parent, tmp, &broker->parents, link) {
		if (parent->state != PARENT_REMOVING)
			parent_remove(parent, NULL);
	}
	broker_end_step(broker);
}

void broker_end_step(struct broker *broker)
{
	if (broker->ending && list_empty(&broker->parents) && list_empty(&broker->strays))
		reactor_task_add(broker->reactor, &broker->ended_task);
}

void broker_leave(struct broker *broker)
{
	if (!broker)
		return;
	broker->leaving = true;
	fdstore_freeze(broker->fdstore);
	broker_free(broker);
}

bool broker_quiet(const struct broker *broker)
{
	const struct parent *parent;
	const struct mdev *mdev;

	list_for_each (mdev, &broker->mdevs, link) {
		if (mdev->state == MDEV_STARTING || mdev->state == MDEV_STOPPING ||
		    mdev->state == MDEV_RESTARTING || mdev->changing)
			return false;
	}
	list_for_each (parent, &broker->parents, link) {
		if (parent->upgrade)
			return false;
	}
	return broker->booting == 0 && !broker->ending && list_empty(&broker->put_off);
}

void broker_free(struct broker *broker)
{
	if (!broker)
		return;
	takeover_strays_free(broker);
	api_end_put_off(broker);
	while (!list_empty(&broker->parents))
		parent_free(list_first(&broker->parents, struct parent, link));
	group_start_free_all(broker);
	while (!list_empty(&broker->mdevs))
		mdev_free(list_first(&broker->mdevs, struct mdev, link));
	group_free_all(broker);
	json_decref(broker->stored);
	fdstore_close(broker->fdstore, broker->leaving);
	watch_free(broker->watch);
	reactor_task_del(broker->reactor, &broker->booted_task);
	reactor_task_del(broker->reactor, &broker->ended_task);
	events_done(&broker->events);
	fd_close(&broker->lock_fd);
	fd_close(&broker->root_fd);
	free(broker);
}
