/* SPDX-License-Identifier: BSD-3-Clause */
/* The method doctor: can this machine and this daemon do their work? */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/fdstore.h"
#include "broker/rpc-mdev.h"
#include "broker/tree.h"
#include "util/fd.h"

#define DOCTOR_FILES_MIN 4096

enum doctor_status { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_FAILED };

struct doctor {
	struct broker *broker;
	json_t *checks;
};

static void doctor_say(struct doctor *doctor, const char *name, enum doctor_status status,
		       const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static void doctor_say(struct doctor *doctor, const char *name, enum doctor_status status,
		       const char *hint, const char *fmt, ...)
{
	static const char *const names[] = {"ok", "warning", "failed"};
	char detail[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	json_array_append_new(doctor->checks, json_pack("{s:s,s:s,s:s,s:s*}", "name", name,
							"status", names[status], "detail", detail,
							"hint", status == DOCTOR_OK ? NULL : hint));
}

static void doctor_daemon(struct doctor *doctor)
{
	doctor_say(doctor, "daemon", DOCTOR_OK, NULL,
		   "umdevd " UMDEV_VERSION ", process %d, user %u", (int)getpid(),
		   (unsigned)doctor->broker->uid);
}

static void doctor_directories(struct doctor *doctor)
{
	static const char *const dirs[] = {BROKER_PARENTS_DIR, BROKER_MDEVS_DIR,
					   BROKER_SOCKETS_DIR};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		bool ok = faccessat(doctor->broker->root_fd, dirs[i], W_OK | X_OK, AT_EACCESS) == 0;

		doctor_say(doctor, dirs[i], ok ? DOCTOR_OK : DOCTOR_FAILED,
			   "make it writable for the daemon's user", "%s",
			   ok ? "writable" : strerror(errno));
	}
}

/* A VMM must be able to write the socket's address into a struct sockaddr_un. */
static void doctor_socket_length(struct doctor *doctor)
{
	const struct broker *b = doctor->broker;
	size_t root = strcmp(b->config.root, "/") == 0 ? 0 : strlen(b->config.root);
	size_t len = root +
		     strlen("/" BROKER_SOCKETS_DIR "/"
			    "/" BROKER_SOCKET_NAME) +
		     IDENT_UUID_SIZE - 1;
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	doctor_say(doctor, "socket path", len <= max ? DOCTOR_OK : DOCTOR_WARNING,
		   "use a root directory with a shorter name",
		   "%zu bytes; clients can use %zu at most", len, max);
}

static void doctor_programs(struct doctor *doctor)
{
	const struct broker_config *c = &doctor->broker->config;
	json_t *drivers = drivers_list(doctor->broker);
	size_t count = json_array_size(drivers);
	bool ok = access(c->host_path, X_OK) == 0;

	json_decref(drivers);
	doctor_say(doctor, "umdev-host", ok ? DOCTOR_OK : DOCTOR_FAILED,
		   "install it beside umdevd, or say where it is with --host-path", "%s%s%s",
		   c->host_path, ok ? "" : ": ", ok ? "" : strerror(errno));
	doctor_say(doctor, "drivers", count ? DOCTOR_OK : DOCTOR_FAILED,
		   "install drivers, or say where they are with --driver-dir", "%zu in %s", count,
		   c->driver_dir);
}

/* Says what the kernel did not allow a host to give up. */
static void doctor_sandbox(struct doctor *doctor, const struct parent *p)
{
	json_t *missing = json_object_get(p->sandbox, "missing");
	char name[IDENT_PARENT_NAME_MAX + 16];
	char text[480];

	if (!p->host || !json_is_object(p->sandbox))
		return;
	snprintf(name, sizeof(name), "sandbox %s", p->name);
	sandbox_describe(p->sandbox, text, sizeof(text));
	doctor_say(doctor, name, json_array_size(missing) ? DOCTOR_WARNING : DOCTOR_OK,
		   "see Sandbox in docs/reliability.md: what is missing is a kernel's or a "
		   "container's to allow",
		   "%s", text);
}

static void doctor_parents(struct doctor *doctor)
{
	const struct parent *p;

	list_for_each (p, &doctor->broker->parents, link) {
		char name[IDENT_PARENT_NAME_MAX + 16];
		bool ok = p->state == PARENT_READY;

		snprintf(name, sizeof(name), "parent %s", p->name);
		doctor_say(doctor, name,
			   ok			       ? DOCTOR_OK
			   : p->state == PARENT_FAILED ? DOCTOR_FAILED
						       : DOCTOR_WARNING,
			   p->state == PARENT_FAILED
				   ? "correct the cause, then remove the parent and add it again"
				   : "wait, then look at the events",
			   "%s, driver %s, %u restarts%s%s", parent_state_name(p->state), p->driver,
			   p->restarts, p->error.message[0] ? ": " : "", p->error.message);
		doctor_sandbox(doctor, p);
	}
}

static void doctor_definitions(struct doctor *doctor)
{
	const struct mdev *mdev;
	size_t good = 0;

	list_for_each (mdev, &doctor->broker->mdevs, link) {
		char name[IDENT_UUID_SIZE + IDENT_PARENT_NAME_MAX + 16];

		good += mdev->definition != NULL;
		snprintf(name, sizeof(name), "mdev %s/%s", mdev->parent_name, mdev->uuid);
		if (mdev->unreadable.word != ERROR_NONE)
			doctor_say(doctor, name, DOCTOR_FAILED,
				   "restore the file and start the daemon again, or undefine it "
				   "with --force",
				   "%s: %s", mdev->uuid, mdev->unreadable.message);
		else if (mdev->state == MDEV_FAILED)
			doctor_say(doctor, name, DOCTOR_FAILED, "stop it and start it again",
				   "%s: %s", mdev->uuid, mdev->error.message);
	}
	doctor_say(doctor, "definitions", DOCTOR_OK, NULL, "%zu readable", good);
}

static void doctor_kernel(struct doctor *doctor)
{
	struct io_uring_params params = {0};
	umdev_autoclose int ring = (int)syscall(__NR_io_uring_setup, 1, &params);
	int ring_errno = errno;
	umdev_autoclose int memfd = fd_memfd("umdev-doctor", 4096);

	doctor_say(doctor, "io_uring", ring >= 0 ? DOCTOR_OK : DOCTOR_WARNING,
		   "allow it (sysctl kernel.io_uring_disabled=0, or the container's seccomp "
		   "profile); without it drivers use threads and are slower",
		   "%s", ring >= 0 ? "available" : strerror(ring_errno));
	doctor_say(doctor, "memfd", memfd >= 0 ? DOCTOR_OK : DOCTOR_FAILED,
		   "a kernel with memfd_create is needed", "%s",
		   memfd >= 0 ? "available" : strerror(-memfd));
}

static void doctor_limits(struct doctor *doctor)
{
	struct rlimit limit = {0};
	bool ok;

	getrlimit(RLIMIT_NOFILE, &limit);
	ok = limit.rlim_cur >= DOCTOR_FILES_MIN;
	doctor_say(doctor, "open files", ok ? DOCTOR_OK : DOCTOR_WARNING,
		   "raise the hard limit (ulimit -Hn, LimitNOFILE=): each guest needs some for its "
		   "memory and interrupts",
		   "%llu", (unsigned long long)limit.rlim_cur);
}

/* A daemon that no service manager started has nothing to say about one. */
static void doctor_store(struct doctor *doctor)
{
	const struct broker *b = doctor->broker;
	const struct mdev *mdev;
	size_t missing = 0;
	size_t used = 0;
	size_t max = 0;

	if (!b->fdstore)
		return;
	fdstore_usage(b->fdstore, &used, &max);
	list_for_each (mdev, &b->mdevs, link)
		missing += mdev_state_is_active(mdev->state) && !mdev->keeper.stored;
	doctor_say(doctor, "fd store", missing ? DOCTOR_WARNING : DOCTOR_OK,
		   "raise FileDescriptorStoreMax= of the service, and with it --fd-store",
		   "%zu of %zu descriptors; %zu mdevs are not in it", used, max, missing);
}

static void doctor_tree(struct doctor *doctor)
{
	const struct tree_server *tree = doctor->broker->tree;
	enum tree_state state = tree ? tree->state : TREE_OFF;

	if (state == TREE_MOUNTED)
		doctor_say(doctor, "tree", DOCTOR_OK, NULL, "mounted at %s", TREE_PATH);
	else if (state == TREE_OFF)
		doctor_say(doctor, "tree", DOCTOR_OK, NULL, "not wanted");
	else
		doctor_say(doctor, "tree", DOCTOR_WARNING,
			   "mdevctl and libvirt need it: allow /dev/fuse and mount or fusermount3, "
			   "then start the daemon again",
			   "not mounted: %s", tree->reason[0] ? tree->reason : "being started");
}

void rpc_doctor(struct api_call *call)
{
	struct doctor doctor = {.broker = call->broker, .checks = json_array()};

	doctor_daemon(&doctor);
	doctor_directories(&doctor);
	doctor_socket_length(&doctor);
	doctor_programs(&doctor);
	doctor_parents(&doctor);
	doctor_definitions(&doctor);
	doctor_tree(&doctor);
	doctor_kernel(&doctor);
	doctor_limits(&doctor);
	doctor_store(&doctor);
	api_reply(call, json_pack("{s:o}", "checks", doctor.checks));
}
