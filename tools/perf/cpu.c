/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CPU time of both sides. See cpu.h.
 *
 * The broker listens and a host serves, so the credentials of the socket name the broker. The
 * kernel's socket diagnostics say which inode the other end of our connection has; the host is the
 * child of the broker that has it open.
 */
#include "cpu.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"

#define CPU_HOST_NAME "umdev-host"
#define CPU_FILE_MAX  65536

/* Reads /proc/@pid/@name. The caller frees *@ret_text. */
static int cpu_proc(pid_t pid, const char *name, char **ret_text)
{
	char path[64];
	umdev_autoclose int fd = -1;
	umdev_autofree char *text = malloc(CPU_FILE_MAX);
	size_t len = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!text)
		return -ENOMEM;
	while ((n = read(fd, text + len, CPU_FILE_MAX - 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return -errno;
	text[len] = 0;
	*ret_text = umdev_steal_ptr(&text);
	return 0;
}

/* User and system time of all threads of @pid. */
static int cpu_process_ns(pid_t pid, uint64_t *ret_ns)
{
	umdev_autofree char *text = NULL;
	unsigned long long user;
	unsigned long long kernel;
	const char *after;
	long ticks = sysconf(_SC_CLK_TCK);
	int r = cpu_proc(pid, "stat", &text);

	if (r < 0)
		return r;
	/* The name may hold anything, so the fields begin behind its last parenthesis. */
	after = strrchr(text, ')');
	if (!after || ticks <= 0 ||
	    sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
		   &kernel) != 2)
		return -EIO;
	*ret_ns = (user + kernel) * (NS_PER_S / (unsigned long)ticks);
	return 0;
}

static uint64_t cpu_own_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* The inode of the socket at the other end, 0 when the kernel does not say. */
static uint32_t cpu_peer_inode(int sock)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req request;
	} message = {
		.header = {.nlmsg_len = sizeof(message),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST},
		.request = {.sdiag_family = AF_UNIX,
			    .udiag_states = UINT32_MAX,
			    .udiag_show = UDIAG_SHOW_PEER,
			    .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
	};
	_Alignas(struct nlmsghdr) char reply[4096];
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)reply;
	umdev_autoclose int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct stat st;
	ssize_t n;
	int left;

	if (fd < 0 || fstat(sock, &st) < 0)
		return 0;
	message.request.udiag_ino = (uint32_t)st.st_ino;
	if (send(fd, &message, sizeof(message), 0) != (ssize_t)sizeof(message))
		return 0;
	n = recv(fd, reply, sizeof(reply), 0);
	if (n < 0 || !NLMSG_OK(header, (size_t)n) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	left = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(struct unix_diag_msg)));
	for (struct rtattr *a = (struct rtattr *)((struct unix_diag_msg *)NLMSG_DATA(header) + 1);
	     left > 0 && RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		uint32_t inode;

		if (a->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(a) >= sizeof(inode)) {
			memcpy(&inode, RTA_DATA(a), sizeof(inode));
			return inode;
		}
	}
	return 0;
}

/* 1: @pid has the socket with @inode open; 0: it has not; -errno: that cannot be seen. */
static int cpu_has_socket(pid_t pid, uint32_t inode)
{
	char path[64];
	char wanted[32];
	char target[64];
	DIR *dir;
	struct dirent *entry;
	int found = 0;
	ssize_t n;

	snprintf(wanted, sizeof(wanted), "socket:[%u]", inode);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!found && (entry = readdir(dir))) {
		n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (n > 0) {
			target[n] = 0;
			found = strcmp(target, wanted) == 0;
		}
	}
	closedir(dir);
	return found;
}

static bool cpu_is_host(pid_t pid)
{
	umdev_autofree char *name = NULL;

	return cpu_proc(pid, "comm", &name) == 0 && strcmp(name, CPU_HOST_NAME "\n") == 0;
}

pid_t cpu_find_server(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uint32_t inode;
	umdev_autofree char *children = NULL;
	char name[64];
	pid_t only = 0;
	unsigned hosts = 0;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0)
		return 0;
	snprintf(name, sizeof(name), "task/%d/children", (int)peer.pid);
	if (cpu_is_host(peer.pid) || cpu_proc(peer.pid, name, &children) < 0)
		return peer.pid;
	inode = cpu_peer_inode(sock);
	for (char *p = children, *end; *p; p = end) {
		pid_t pid = (pid_t)strtol(p, &end, 10);
		int has;

		if (end == p)
			break;
		if (pid <= 0 || !cpu_is_host(pid))
			continue;
		has = inode ? cpu_has_socket(pid, inode) : -ENOENT;
		if (has == 1)
			return pid;
		if (has < 0) {
			only = pid;
			hosts++;
		}
	}
	if (hosts == 1)
		return only;
	return cpu_has_socket(peer.pid, inode) == 1 && hosts == 0 ? peer.pid : 0;
}

void cpu_start(struct cpu_meter *meter, pid_t server)
{
	meter->server = server;
	if (server && cpu_process_ns(server, &meter->server_ns) < 0)
		meter->server = 0;
	meter->client_ns = cpu_own_ns();
	meter->wall_ns = clock_now_ns();
}

void cpu_read(const struct cpu_meter *meter, struct cpu_usage *ret_usage)
{
	uint64_t wall_ns = clock_now_ns() - meter->wall_ns;
	uint64_t server_ns;

	*ret_usage = (struct cpu_usage){.client = -1, .server = -1};
	if (wall_ns == 0)
		return;
	ret_usage->client = (double)(cpu_own_ns() - meter->client_ns) * 100 / (double)wall_ns;
	if (meter->server && cpu_process_ns(meter->server, &server_ns) == 0 &&
	    server_ns >= meter->server_ns)
		ret_usage->server = (double)(server_ns - meter->server_ns) * 100 / (double)wall_ns;
}
