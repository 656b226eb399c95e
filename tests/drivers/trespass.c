/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver for the tests of the sandbox: what its guest writes to BAR 0 is a system call that it
 * makes, most of which a host may not. What the call returned can be read back at once.
 *
 * It needs threads and io_uring, so that both are there in parent_open() and gone afterwards; with
 * the environment variable UMDEV_TEST_NEED, that and no more.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <umdev/driver.h>

static const struct umdev_host_ops *host;

/* What can be tried, by number; tests/system/test_sandbox.py has the same list. */
enum trespass_call {
	TRESPASS_NOTHING,
	TRESPASS_OPEN,
	TRESPASS_SOCKET,
	TRESPASS_EXECVE,
	TRESPASS_PTRACE,
	TRESPASS_FORK,
	TRESPASS_KILL,
	TRESPASS_EXECUTABLE, /* memory */
	TRESPASS_CHROOT,
	TRESPASS_PRCTL,
	TRESPASS_TERMINAL, /* an ioctl that types into one */
	TRESPASS_RING,
	TRESPASS_THREAD,
	TRESPASS_INOTIFY, /* needs "terminals" */
	TRESPASS_FILE,	  /* needs "files" */
	TRESPASS_STAT,	  /* of a path */
	TRESPASS_COUNT
};

#define TRESPASS_PENDING UINT32_MAX

struct trespass_state {
	uint32_t last;
	uint32_t result; /* an errno; TRESPASS_PENDING: the host has not come back from it */
};

struct trespass_mdev {
	struct trespass_state *state;
};

static const struct umdev_type trespass_types[] = {
	{.id = "one", .name = "test trespass", .class_name = "compute", .cost = 1},
};

static void *trespass_thread(void *arg)
{
	return arg;
}

static int trespass_start_thread(void)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, trespass_thread, NULL);

	if (r == 0)
		pthread_join(thread, NULL);
	return -r;
}

static int trespass_make_ring(void)
{
	struct io_uring_params params = {0};
	long fd = syscall(SYS_io_uring_setup, 1, &params);

	if (fd >= 0)
		close((int)fd);
	/* Where a kernel has none, that is no trespass. */
	return fd >= 0 || errno == ENOSYS || errno == EPERM ? 0 : -errno;
}

static long trespass_try(uint32_t call)
{
	static char *const none[] = {NULL};
	char byte = 'x';

	switch (call) {
	case TRESPASS_OPEN:
		return syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
	case TRESPASS_SOCKET:
		return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	case TRESPASS_EXECVE:
		return syscall(SYS_execve, "/bin/true", none, none);
	case TRESPASS_PTRACE:
		return syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), 0, 0);
	case TRESPASS_FORK:
		return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	case TRESPASS_KILL:
		return syscall(SYS_kill, -1, 0);
	case TRESPASS_EXECUTABLE:
		return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	case TRESPASS_CHROOT:
		return syscall(SYS_chroot, "/");
	case TRESPASS_PRCTL:
		return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	case TRESPASS_TERMINAL:
		return syscall(SYS_ioctl, STDIN_FILENO, 0x5412 /* TIOCSTI */, &byte);
	case TRESPASS_RING:
		return trespass_make_ring();
	case TRESPASS_THREAD:
		return trespass_start_thread();
	case TRESPASS_INOTIFY:
		return syscall(SYS_inotify_init1, O_CLOEXEC);
	case TRESPASS_FILE:
		return syscall(SYS_fdatasync, STDIN_FILENO);
	case TRESPASS_STAT:
		return syscall(SYS_newfstatat, AT_FDCWD, "/", NULL, 0);
	default:
		return 0;
	}
}

static int trespass_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
				struct umdev_parent_info *ret_info, void **ret_priv)
{
	int r = getenv("UMDEV_TEST_NEED") ? 0 : trespass_start_thread();

	if (r == 0 && !getenv("UMDEV_TEST_NEED"))
		r = trespass_make_ring();
	if (r < 0)
		return host->fail(-r, "what it needs was refused: %s", strerror(-r));
	ret_info->types = trespass_types;
	ret_info->type_count = sizeof(trespass_types) / sizeof(trespass_types[0]);
	ret_info->pool_units = 8;
	ret_info->pool_unit = "places";
	return 0;
}

static void trespass_parent_close(void *parent_priv)
{
}

static int trespass_reset(void *priv, uint32_t kind)
{
	struct trespass_mdev *m = priv;

	*m->state = (struct trespass_state){0};
	return 0;
}

static int trespass_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
				const struct umdev_mdev_args *args, struct umdev_device *ret_device,
				void **ret_priv)
{
	struct trespass_mdev *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->state = args->state;
	if (args->state_origin == UMDEV_STATE_NEW)
		trespass_reset(m, UMDEV_RESET_DEVICE);
	ret_device->vendor_id = 0x1b36;
	ret_device->device_id = 0x00fc;
	ret_device->class_code = 0xff0000;
	ret_device->msi_vectors = 1;
	ret_device->bars[0].size = 4096;
	*ret_priv = m;
	return 0;
}

static int trespass_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	struct trespass_mdev *m = priv;

	memset(buf, 0, len);
	if (offset + len <= sizeof(*m->state))
		memcpy(buf, (const char *)m->state + offset, len);
	return 0;
}

static int trespass_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf,
				 uint32_t len)
{
	struct trespass_mdev *m = priv;
	uint32_t call;
	long r;

	if (offset != 0 || len != sizeof(call))
		return 0;
	memcpy(&call, buf, len);
	/* The request that ended a host is served again by the next one: once is enough. */
	if (m->state->result == TRESPASS_PENDING && m->state->last == call) {
		m->state->result = EOWNERDEAD;
		return 0;
	}
	m->state->last = call;
	m->state->result = TRESPASS_PENDING;
	r = trespass_try(call);
	m->state->result = r < 0 ? (uint32_t)errno : 0;
	return 0;
}

/* Replaced by what the environment says before the table is handed over. */
static struct umdev_need trespass_needs[] = {
	{UMDEV_NEED_THREADS, "tries whether it gets one"},
	{UMDEV_NEED_IO_URING, "tries whether it gets a ring"},
	{NULL, NULL},
};

__attribute__((constructor)) static void trespass_take_needs(void)
{
	const char *name = getenv("UMDEV_TEST_NEED");

	if (name)
		trespass_needs[0] = (struct umdev_need){name[0] ? name : NULL, "as the test says"};
	if (name)
		trespass_needs[1] = (struct umdev_need){NULL, NULL};
}

UMDEV_REGISTER_DRIVER(host, .name = "trespass", .description = "for the tests of the sandbox",
		      .version = "1", .state_version = 1,
		      .state_size = sizeof(struct trespass_state),
		      .parent_open = trespass_parent_open, .parent_close = trespass_parent_close,
		      .mdev_create = trespass_mdev_create, .mdev_remove = free,
		      .region_read = trespass_region_read, .region_write = trespass_region_write,
		      .reset = trespass_reset, .needs = trespass_needs)
