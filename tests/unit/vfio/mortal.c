/* SPDX-License-Identifier: BSD-3-Clause */
/* See mortal.h. */
#include "mortal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/fd.h"

#define CLIENT_LIMIT_MS 5000

/* How a server tells what to keep. */
struct keeper_message {
	uint32_t slot;
	uint32_t keep;
};

/* ---- In the server ---- */

static struct mortal *server_mortal;
static struct vfio_session *server_session;

static int server_keep(void *device, uint32_t slot, int fd)
{
	struct keeper_message message = {slot, 1};

	return fd_send(server_mortal->keeper[0], &message, sizeof(message), &fd, 1) < 0 ? -EIO : 0;
}

static void server_drop(void *device, uint32_t slot)
{
	struct keeper_message message = {slot, 0};

	(void)fd_send(server_mortal->keeper[0], &message, sizeof(message), NULL, 0);
}

/* The next state of the device, in the copy that does not count yet. */
static struct mortal_state *server_begin(uint64_t access)
{
	struct mortal_shared *sh = server_mortal->shared;
	struct mortal_state *next = &sh->states[!sh->current];

	*next = sh->states[sh->current];
	next->access = access;
	next->result = 0;
	return next;
}

static void server_commit(void)
{
	struct mortal_shared *sh = server_mortal->shared;

	__atomic_store_n(&sh->current, !sh->current, __ATOMIC_RELEASE);
}

static int server_access(void *device, uint32_t region, bool write, uint64_t offset, void *buf,
			 uint32_t count)
{
	const struct mortal_state *now = mortal_state(server_mortal);
	uint64_t access = vfio_session_access_id(server_session);
	uint64_t value = 0;

	if (count > sizeof(value) || access == 0)
		return -EINVAL;
	if (write)
		memcpy(&value, buf, count);
	/* These may happen twice. */
	if (write && offset == MORTAL_COPY &&
	    vfio_dma_write(server_session, MORTAL_IOVA, &value, sizeof(value), NULL, NULL) < 0)
		return -EFAULT;
	if (write && offset == MORTAL_SIGNAL)
		vfio_irq_signal(server_session, VFIO_IRQ_MSIX, 1);
	if (access != now->access) {
		struct mortal_state *next = server_begin(access);

		if (write) {
			next->writes++;
			next->last_written = value;
		} else if (offset == MORTAL_COUNT) {
			next->result = ++next->reads;
		}
		server_commit();
	}
	if (!write)
		memcpy(buf, &mortal_state(server_mortal)->result, count);
	return 0;
}

static int server_reset(void *device)
{
	server_mortal->shared->resets++;
	return 0;
}

static int server_admit(void *device, const struct ucred *peer, struct umdev_error *err)
{
	return 0;
}

static void server_joined(void *device, const struct ucred *peer)
{
	server_mortal->shared->joined++;
}

static void server_resumed(void *device, const struct ucred *peer, bool joined)
{
	server_mortal->shared->resumed++;
}

static int server_lost(void *device, const char *reason)
{
	server_mortal->shared->lost++;
	snprintf(server_mortal->shared->reason, sizeof(server_mortal->shared->reason), "%s",
		 reason);
	return 0;
}

static void server_refused(void *device, const char *reason)
{
	server_mortal->shared->refused++;
	snprintf(server_mortal->shared->reason, sizeof(server_mortal->shared->reason), "%s",
		 reason);
}

static const struct vfio_session_ops server_ops = {
	.region_access = server_access,
	.reset = server_reset,
	.keep = server_keep,
	.drop = server_drop,
	.admit = server_admit,
	.resumed = server_resumed,
	.joined = server_joined,
	.lost = server_lost,
	.refused = server_refused,
};

/* @held: 0 runs; 1 stands still before it goes on; 2 stands still whenever it waits. */
static void __attribute__((noreturn)) server_main(struct mortal *m, int held)
{
	struct reactor *reactor = reactor_new();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	server_mortal = m;
	if (m->client >= 0)
		close(m->client);
	if (held)
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	if (held == 1)
		raise(SIGSTOP);
	if (!reactor ||
	    vfio_session_new(reactor, &m->info, &server_ops, m, m->page, dup(m->listener), m->kept,
			     m->kept_count, &server_session) < 0)
		_exit(1);
	for (size_t i = 0; i < m->kept_count; i++) {
		if (m->kept[i].fd >= 0)
			server_drop(m, m->kept[i].slot);
	}
	for (;;) {
		/* What is left to do first, as a loop does before it sleeps. */
		for (int i = 0; i < 4; i++)
			(void)!reactor_turn(reactor, 0);
		if (held)
			raise(SIGSTOP);
		if (reactor_turn(reactor, UINT64_MAX) < 0)
			_exit(1);
	}
}

/* ---- Servers come and go ---- */

static void keeper_take(struct mortal *m, uint32_t slot, int fd)
{
	size_t i = 0;

	while (i < m->kept_count && m->kept[i].slot != slot)
		i++;
	if (i < m->kept_count)
		close(m->kept[i].fd);
	if (i == m->kept_count && fd >= 0) {
		assert_true(i < MORTAL_KEPT_MAX);
		m->kept_count++;
	}
	if (fd >= 0)
		m->kept[i] = (struct vfio_kept){slot, fd};
	else if (i < m->kept_count)
		m->kept[i] = m->kept[--m->kept_count];
}

static void keeper_drain(struct mortal *m)
{
	struct keeper_message message;
	size_t nfds;
	int fd = -1;

	while (fd_recv(m->keeper[1], &message, sizeof(message), &fd, 1, &nfds) > 0) {
		assert_int_equal(nfds, message.keep);
		keeper_take(m, message.slot, message.keep ? fd : -1);
		fd = -1;
	}
}

static void mortal_start(struct mortal *m, int held)
{
	int status;

	keeper_drain(m);
	assert_int_equal(m->server, 0);
	m->server = fork();
	assert_true(m->server >= 0);
	if (m->server == 0)
		server_main(m, held);
	if (!held)
		return;
	assert_int_equal(waitpid(m->server, &status, 0), m->server);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}

void mortal_run(struct mortal *m)
{
	mortal_start(m, 0);
}

void mortal_hold(struct mortal *m, bool resuming)
{
	mortal_start(m, resuming ? 1 : 2);
}

/* Goes on by @request. Returns false when the server waits for the client again. */
static bool server_continue(struct mortal *m, int request)
{
	int status;
	intptr_t tick = 0; /* a signal of irq_signal.c, which is passed on */

	do {
		// NOLINTNEXTLINE(performance-no-int-to-ptr)
		assert_int_equal(ptrace(request, m->server, NULL, (void *)tick), 0);
		assert_int_equal(waitpid(m->server, &status, 0), m->server);
		assert_true(WIFSTOPPED(status));
		tick = WSTOPSIG(status);
	} while (tick == SIGRTMIN);
	if (tick == SIGSTOP)
		return false;
	assert_int_equal(tick, SIGTRAP);
	return true;
}

bool mortal_step(struct mortal *m, unsigned stops, unsigned count)
{
	while (stops-- > 0) {
		if (!server_continue(m, PTRACE_SYSCALL))
			return false;
	}
	while (count-- > 0) {
		if (!server_continue(m, PTRACE_SINGLESTEP))
			return false;
	}
	return true;
}

void mortal_kill(struct mortal *m)
{
	int status;

	if (m->server) {
		assert_int_equal(kill(m->server, SIGKILL), 0);
		assert_int_equal(waitpid(m->server, &status, 0), m->server);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	m->server = 0;
	keeper_drain(m);
}

const struct mortal_state *mortal_state(const struct mortal *m)
{
	return &m->shared->states[__atomic_load_n(&m->shared->current, __ATOMIC_ACQUIRE)];
}

/* ---- The client ---- */

void mortal_dial(struct mortal *m)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (m->client >= 0)
		close(m->client);
	m->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(m->client >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", m->path);
	assert_int_equal(connect(m->client, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

void mortal_connect(struct mortal *m)
{
	mortal_dial(m);
	for (int i = 0; m->page->state != VFIO_STATE_NEGOTIATING; i++) {
		assert_true(i < CLIENT_LIMIT_MS);
		usleep(1000);
		keeper_drain(m);
	}
}

bool mortal_answers(struct mortal *m)
{
	struct pollfd p = {.fd = m->client, .events = POLLIN};
	char byte;

	assert_int_equal(poll(&p, 1, CLIENT_LIMIT_MS), 1);
	return recv(m->client, &byte, 1, MSG_PEEK) == 1;
}

void mortal_leave(struct mortal *m)
{
	close(m->client);
	m->client = -1;
	for (int i = 0; m->page->state != VFIO_STATE_IDLE; i++) {
		assert_true(i < CLIENT_LIMIT_MS);
		usleep(1000);
	}
}

uint16_t mortal_send(struct mortal *m, uint16_t command, uint32_t flags, const void *body,
		     size_t len, int fd)
{
	struct wire_header header = {.id = m->next_id++,
				     .command = command,
				     .size = (uint32_t)(sizeof(header) + len),
				     .flags = flags};
	uint8_t message[4096];

	assert_true(len <= sizeof(message) - sizeof(header));
	memcpy(message, &header, sizeof(header));
	if (len > 0)
		memcpy(message + sizeof(header), body, len);
	assert_int_equal(fd_send(m->client, message, header.size, &fd, fd >= 0), header.size);
	return header.id;
}

/* Exactly so many bytes. */
static void client_take(struct mortal *m, void *data, size_t len, int *ret_fd)
{
	struct pollfd p = {.fd = m->client, .events = POLLIN};
	size_t have = 0;

	while (have < len) {
		size_t nfds;
		int fd = -1;
		ssize_t n;

		if (poll(&p, 1, CLIENT_LIMIT_MS) <= 0)
			fail_msg("no reply; lost %u, refused %u: %s", m->shared->lost,
				 m->shared->refused, m->shared->reason);
		n = fd_recv(m->client, (uint8_t *)data + have, len - have, &fd, 1, &nfds);
		if (n <= 0)
			fail_msg("the connection ended (%zd); lost %u, refused %u: %s", n,
				 m->shared->lost, m->shared->refused, m->shared->reason);
		if (nfds > 0) {
			assert_non_null(ret_fd);
			*ret_fd = fd;
		}
		have += (size_t)n;
	}
}

size_t mortal_receive(struct mortal *m, uint16_t id, void *body, size_t size, int *ret_fd)
{
	struct wire_header header;

	if (ret_fd)
		*ret_fd = -1;
	client_take(m, &header, sizeof(header), ret_fd);
	assert_int_equal(header.id, id);
	assert_int_equal(header.flags, WIRE_TYPE_REPLY);
	assert_in_range(header.size, sizeof(header), sizeof(header) + size);
	client_take(m, body, header.size - sizeof(header), NULL);
	return header.size - sizeof(header);
}

/* ---- Fixture ---- */

int mortal_setup(void **state)
{
	struct mortal *m = calloc(1, sizeof(*m));
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	assert_non_null(m);
	snprintf(m->dir, sizeof(m->dir), "/tmp/umdev-mortal-XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	snprintf(m->path, sizeof(m->path), "%s/s", m->dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", m->path);
	m->client = -1;
	m->page = mmap(NULL, vfio_page_size(), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	m->shared = mmap(NULL, sizeof(*m->shared), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(m->page != MAP_FAILED && m->shared != MAP_FAILED);
	m->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(m->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(m->listener, 4), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, m->keeper), 0);
	m->info.name = "mortal";
	for (uint32_t i = 0; i < VFIO_REGION_COUNT; i++)
		m->info.regions[i].fd = -1;
	m->info.regions[0] = (struct vfio_region){
		.size = MORTAL_BAR_SIZE,
		.flags = VFIO_REGION_READABLE | VFIO_REGION_WRITABLE | VFIO_REGION_MAPPABLE,
		.area_count = 1,
		.areas = {{0x1000, 0x1000}},
		.fd = fd_memfd("mortal-bar", MORTAL_BAR_SIZE),
	};
	m->info.irq_counts[VFIO_IRQ_MSIX] = 8;
	*state = m;
	return 0;
}

int mortal_teardown(void **state)
{
	struct mortal *m = *state;

	mortal_kill(m);
	if (m->client >= 0)
		close(m->client);
	while (m->kept_count > 0)
		close(m->kept[--m->kept_count].fd);
	close(m->listener);
	close(m->keeper[0]);
	close(m->keeper[1]);
	close(m->info.regions[0].fd);
	munmap(m->page, vfio_page_size());
	munmap(m->shared, sizeof(*m->shared));
	unlink(m->path);
	rmdir(m->dir);
	free(m);
	return 0;
}
