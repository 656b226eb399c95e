/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Entering the sandbox. See sandbox.h.
 *
 *   root                 namespaces of its own, an empty file system as /, another user
 *   root in a container  an empty directory as /, another user
 *   anybody else         the same as root within a user namespace, or else landlock
 *
 * and in each case no capability, no way to get one, and the list of system calls.
 */
#include "host/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/calls.h"
#include "host/driver.h"
#include "host/need.h"
#include "util/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZED true
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED false
#endif

/* Everything that the first version of landlock knows. */
#define SANDBOX_LANDLOCK_ALL ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

#define SANDBOX_ROOT_OPTIONS "size=4k,nr_inodes=8,mode=555"
#define SANDBOX_ROOT_FLAGS   (MS_NOSUID | MS_NODEV | MS_NOEXEC)

struct sandbox_caps {
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

static void sandbox_miss(struct sandbox *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void sandbox_miss(struct sandbox *s, const char *fmt, ...)
{
	va_list ap;

	if (s->missing_count == SANDBOX_MISSING_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(s->missing[s->missing_count++], SANDBOX_TEXT_MAX, fmt, ap);
	va_end(ap);
}

/* ---- Capabilities ---- */

static bool sandbox_caps_get(struct sandbox_caps *ret_caps)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	memset(ret_caps, 0, sizeof(*ret_caps));
	return syscall(SYS_capget, &header, ret_caps->data) == 0;
}

static bool sandbox_has(int cap)
{
	struct sandbox_caps caps;

	return sandbox_caps_get(&caps) && caps.data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

/* What could be got back by running a program; while there is the right to give that up. */
static void sandbox_drop_bounds(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static void sandbox_drop_caps(struct sandbox *s)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct sandbox_caps none = {0};

	if (syscall(SYS_capset, &header, none.data) == 0)
		s->capabilities = "none";
	else
		sandbox_miss(s, "capabilities: %s", strerror(errno));
}

/* ---- User ---- */

static void sandbox_change_user(const struct sandbox_options *o, struct sandbox *s)
{
	if (!o->has_user)
		return;
	/* A broker without the right to signal others could not end its host. */
	if (!sandbox_has(CAP_SETUID) || !sandbox_has(CAP_SETGID) || !sandbox_has(CAP_KILL)) {
		sandbox_miss(s, "user: changing it needs CAP_SETUID, CAP_SETGID and CAP_KILL");
		return;
	}
	if (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
	    setresuid(o->uid, o->uid, o->uid) < 0)
		sandbox_miss(s, "user: %s", strerror(errno));
}

/* ---- Namespaces ---- */

static int sandbox_write(const char *path, const char *text)
{
	umdev_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* One user is known in the new namespace: the one that it was. Others look like nobody. */
static int sandbox_map_user(uid_t uid, gid_t gid)
{
	char text[48];
	int r;

	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	r = sandbox_write("/proc/self/uid_map", text);
	if (r == 0)
		r = sandbox_write("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	return r == 0 ? sandbox_write("/proc/self/gid_map", text) : r;
}

/* Rights over namespaces of its own, for who has none over those that are there. */
static void sandbox_user_namespace(struct sandbox *s)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	int r;

	if (sandbox_has(CAP_SYS_ADMIN) || uid == 0)
		return;
	if (unshare(CLONE_NEWUSER) < 0) {
		sandbox_miss(s, "user namespace: %s", strerror(errno));
		return;
	}
	s->user_namespace = true;
	r = sandbox_map_user(uid, gid);
	if (r < 0)
		sandbox_miss(s, "user namespace: no user is known in it: %s", strerror(-r));
}

static bool sandbox_unshare(int flag, const char *name, struct sandbox *s)
{
	if (unshare(flag) == 0)
		return true;
	sandbox_miss(s, "%s namespace: %s", name, strerror(errno));
	return false;
}

/* ---- Filesystem ---- */

/* Shows /dev/pts below the new root at "."; what is on it stays what it is. */
static bool sandbox_show_terminals(struct sandbox *s)
{
	if (mkdir("dev", 0755) == 0 && mkdir("dev/pts", 0755) == 0 &&
	    mount("/dev/pts", "dev/pts", NULL, MS_BIND, NULL) == 0) {
		(void)mount(NULL, "dev/pts", NULL,
			    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL);
		return true;
	}
	sandbox_miss(s, "/dev/pts: %s", strerror(errno));
	return false;
}

/* An empty file system takes the place of everything, and everything is let go. */
static int sandbox_pivot(bool terminals, struct sandbox *s)
{
	static const char *const places[] = {"/tmp", "/run", "/proc", "/dev"};
	const char *place = NULL;
	bool shown;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	for (size_t i = 0; !place && i < ARRAY_SIZE(places); i++) {
		if (mount("umdev-host", places[i], "tmpfs", SANDBOX_ROOT_FLAGS,
			  SANDBOX_ROOT_OPTIONS) == 0)
			place = places[i];
	}
	if (!place || chdir(place) < 0)
		return -errno;
	shown = terminals && sandbox_show_terminals(s);
	if (mount(NULL, place, NULL, MS_REMOUNT | MS_RDONLY | SANDBOX_ROOT_FLAGS,
		  SANDBOX_ROOT_OPTIONS) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	s->filesystem = shown ? "/dev/pts" : "none";
	return 0;
}

/* A directory that was removed holds nothing and never will. */
static int sandbox_chroot(struct sandbox *s)
{
	static const char *const places[] = {"/tmp", "/run", "/dev/shm"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char path[32];
		int r;

		snprintf(path, sizeof(path), "%s/umdev-host-XXXXXX", places[i]);
		if (!mkdtemp(path))
			continue;
		r = chdir(path);
		(void)rmdir(path);
		if (r == 0 && chroot(".") == 0) {
			s->filesystem = "none";
			return 0;
		}
	}
	return -errno;
}

/* Whatever there is cannot be opened any more. */
static int sandbox_landlock(struct sandbox *s)
{
	struct landlock_ruleset_attr all = {.handled_access_fs = SANDBOX_LANDLOCK_ALL};
	umdev_autoclose int rules =
		(int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all.handled_access_fs), 0);

	if (rules < 0 || syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		return -errno;
	s->filesystem = "none";
	return 0;
}

static void sandbox_no_files(bool mounts, uint32_t needs, struct sandbox *s)
{
	bool terminals = needs & NEED_BIT(NEED_TERMINALS);
	int r = mounts ? sandbox_pivot(terminals, s) : -EPERM;

	if (mounts && r < 0)
		sandbox_miss(s, "an empty file system: %s", strerror(-r));
	if (r < 0 && sandbox_has(CAP_SYS_CHROOT)) {
		r = sandbox_chroot(s);
		if (r == 0 && terminals)
			sandbox_miss(s, "/dev/pts: showing it needs a mount namespace");
	}
	if (r < 0)
		r = sandbox_landlock(s);
	if (r < 0)
		sandbox_miss(s, "no filesystem: neither chroot nor landlock: %s", strerror(-r));
}

/* ---- All of it ---- */

/* Guests decide how many descriptors are needed; the hard limit is the bound. */
static void sandbox_limits(bool off)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* A core would hold what guests had in flight. */
	limit = (struct rlimit){0};
	if (!off)
		setrlimit(RLIMIT_CORE, &limit);
}

static void sandbox_isolate(const struct sandbox_options *options, uint32_t needs,
			    struct sandbox *s)
{
	bool mounts;

	sandbox_user_namespace(s);
	mounts = sandbox_unshare(CLONE_NEWNS, "mount", s);
	if (sandbox_unshare(CLONE_NEWNET, "network", s))
		s->network = "none";
	(void)sandbox_unshare(CLONE_NEWIPC, "ipc", s);
	(void)sandbox_unshare(CLONE_NEWUTS, "uts", s);
	sandbox_no_files(mounts, needs, s);
	sandbox_drop_bounds();
	sandbox_change_user(options, s);
	/* Its user may look into it and debug it, as before: it is no other's. */
	if (s->user_namespace)
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void sandbox_log(const struct sandbox *s)
{
	umdev_log(LOG_INFO, "host", "host.sandbox",
		  "user %u, filesystem %s, network %s, capabilities %s, seccomp %s",
		  (unsigned)s->uid, s->filesystem, s->network, s->capabilities,
		  s->seccomp ? "on" : "off");
	for (unsigned i = 0; i < s->missing_count; i++)
		umdev_log(LOG_INFO, "host", "host.sandbox", "not allowed here: %s", s->missing[i]);
}

void sandbox_enter(const struct sandbox_options *options, uint32_t needs,
		   struct sandbox *ret_sandbox)
{
	struct sandbox *s = ret_sandbox;
	int r;

	*s = (struct sandbox){.filesystem = "all", .network = "all", .capabilities = "all"};
	sandbox_limits(options->off);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		sandbox_miss(s, "no_new_privs: %s", strerror(errno));
	if (options->off) {
		sandbox_miss(s, "everything: the daemon was started with --no-sandbox");
	} else if (SANDBOX_SANITIZED) {
		/* It opens files to write its report, and traces itself to find what leaked. */
		sandbox_miss(s, "user, filesystem, network, system calls: built with a sanitizer");
		sandbox_drop_caps(s);
	} else {
		sandbox_isolate(options, needs, s);
		sandbox_drop_caps(s);
		r = calls_restrict(needs);
		s->seccomp = r == 0;
		if (r < 0)
			sandbox_miss(s, "seccomp: %s", strerror(-r));
	}
	s->uid = getuid();
	sandbox_log(s);
}

void sandbox_settle(const struct sandbox *sandbox)
{
	int r = sandbox->seccomp ? calls_settle() : 0;

	if (r < 0)
		umdev_log(LOG_WARNING, "host", "host.sandbox", "threads and rings stay allowed: %s",
			  strerror(-r));
}

json_t *sandbox_print(const struct sandbox *sandbox, const struct host_driver *driver)
{
	json_t *needs = json_array();
	json_t *missing = json_array();

	for (uint32_t i = 0; i < driver->need_count; i++) {
		const struct umdev_need *need = driver_need(driver, i);

		json_array_append_new(needs, json_pack("{s:s,s:s}", "name", need->name, "reason",
						       need->reason));
	}
	for (unsigned i = 0; i < sandbox->missing_count; i++)
		json_array_append_new(missing, json_string(sandbox->missing[i]));
	return json_pack("{s:I,s:s,s:s,s:s,s:s,s:b,s:o,s:o}", "user", (json_int_t)sandbox->uid,
			 "filesystem", sandbox->filesystem, "network", sandbox->network,
			 "capabilities", sandbox->capabilities, "seccomp",
			 sandbox->seccomp ? "on" : "off", "user_namespace", sandbox->user_namespace,
			 "needs", needs, "missing", missing);
}
