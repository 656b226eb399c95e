/* SPDX-License-Identifier: BSD-3-Clause */
/* The vfio-user client. See client.h. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/clock.h"
#include "util/fd.h"

#define CLIENT_OUT_MAX	   4096u
#define CLIENT_IRQ_CHUNK   CLIENT_FDS_MAX
#define CLIENT_REGIONS_MAX 4096u

/* A request being made. */
struct client_call {
	enum proto_command command;
	const char *what; /* for messages */
	const void *body;
	size_t body_len;
	const void *data; /* after the body, or NULL */
	size_t data_len;
	const int *fds;
	size_t fd_count;
	size_t reply_min; /* bytes that the reply must have after its header */
};

static int client_lost(struct umdev_error *err, int error)
{
	error_set(err, ERROR_UNREACHABLE, "the server hung up: %s",
		  error ? strerror(error) : "end of stream");
	return -ECONNRESET;
}

static int client_broken(struct umdev_error *err, const char *what)
{
	error_set(err, ERROR_INTERNAL, "the server broke the protocol: %s", what);
	return -EPROTO;
}

/* Waits until the socket is ready for @events. */
static int client_wait(const struct client *c, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = c->sock, .events = events};
	uint64_t now = clock_now_ns();
	int r;

	if (now >= deadline_ns)
		return -ETIMEDOUT;
	r = poll(&p, 1, (int)MIN((deadline_ns - now) / NS_PER_MS + 1, 1000ULL));
	return r < 0 && errno != EINTR ? -errno : 0;
}

/* Sends all of a message. */
static int client_send(struct client *c, const void *data, size_t len, const int *fds,
		       size_t fd_count)
{
	uint64_t deadline_ns = 0;
	const uint8_t *p = data;
	ssize_t n;
	int r;

	while (len > 0) {
		n = fd_send(c->sock, p, len, fds, fd_count);
		if (n == -EINTR)
			continue;
		if (n == -EAGAIN) {
			if (deadline_ns == 0)
				deadline_ns = clock_now_ns() + c->timeout_ns;
			r = client_wait(c, POLLOUT, deadline_ns);
			if (r < 0)
				return r;
			continue;
		}
		if (n < 0)
			return (int)n;
		p += n;
		len -= (size_t)n;
		fd_count = 0;
	}
	return 0;
}

static int client_reply(struct client *c, const struct proto_header *request, uint32_t error,
			const void *body, size_t len)
{
	static uint8_t out[CLIENT_IN_MAX];
	struct proto_header h = *request;

	if (request->flags & PROTO_NO_REPLY)
		return 0;
	h.size = (uint32_t)(sizeof(h) + len);
	h.flags = PROTO_REPLY | (error ? PROTO_ERROR : 0);
	h.error = error;
	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), body, len);
	return client_send(c, out, h.size, NULL, 0);
}

/* Answers the server's request in the buffer. */
static int client_serve(struct client *c, const struct proto_header *h)
{
	static uint8_t body[16 + CLIENT_TRANSFER_MAX];
	struct proto_dma_access access;
	size_t len = h->size - sizeof(*h);
	bool write = h->command == PROTO_DMA_WRITE;
	uint64_t at;

	if (h->command != PROTO_DMA_READ && !write)
		return client_reply(c, h, ENOSYS, body, 0);
	if (len < sizeof(access))
		return client_reply(c, h, EINVAL, body, 0);
	memcpy(&access, c->in + sizeof(*h), sizeof(access));
	if (access.count > CLIENT_TRANSFER_MAX || (write && len - sizeof(access) < access.count))
		return client_reply(c, h, EINVAL, body, 0);
	at = c->memory ? access.addr - c->memory->iova : 0;
	if (!c->memory || access.addr < c->memory->iova || at > c->memory->size ||
	    access.count > c->memory->size - at)
		return client_reply(c, h, ENODEV, body, 0);
	if (write) {
		memcpy(c->memory->base + at, c->in + sizeof(*h) + sizeof(access), access.count);
		return client_reply(c, h, 0, &access, sizeof(access));
	}
	memcpy(body, &access, sizeof(access));
	memcpy(body + sizeof(access), c->memory->base + at, access.count);
	return client_reply(c, h, 0, body, sizeof(access) + access.count);
}

/* Reads without waiting. Returns 1 with a whole message in the buffer, 0 when there is none yet. */
static int client_receive(struct client *c, struct umdev_error *err)
{
	struct proto_header h;
	size_t want;
	size_t fd_count;
	ssize_t n;

	for (;;) {
		want = sizeof(h);
		if (c->in_len >= sizeof(h)) {
			memcpy(&h, c->in, sizeof(h));
			if (h.size < sizeof(h) || h.size > sizeof(c->in))
				return client_broken(err, "a message of impossible size");
			want = h.size;
			if (c->in_len == want)
				return 1;
		}
		n = fd_recv(c->sock, c->in + c->in_len, want - c->in_len, c->fds + c->fd_count,
			    CLIENT_FDS_MAX - c->fd_count, &fd_count);
		c->fd_count += fd_count;
		if (n == -EAGAIN)
			return 0;
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return client_lost(err, (int)-n);
		c->in_len += (size_t)n;
	}
}

static void client_consume(struct client *c)
{
	fd_close_all(c->fds, c->fd_count);
	c->fd_count = 0;
	c->in_len = 0;
}

/*
 * Takes one message if there is a whole one. Returns 1 with the reply to request @id in the buffer
 * (@id negative: none is expected), 0 when there is nothing to take or a request was served.
 */
static int client_take(struct client *c, int id, struct umdev_error *err, bool *ret_any)
{
	struct proto_header h;
	int r = client_receive(c, err);

	*ret_any = r > 0;
	if (r <= 0)
		return r;
	memcpy(&h, c->in, sizeof(h));
	if ((h.flags & PROTO_TYPE_MASK) == PROTO_REPLY) {
		if (id < 0 || h.id != id)
			return client_broken(err, "a reply that nobody asked for");
		return 1;
	}
	r = client_serve(c, &h);
	client_consume(c);
	return r < 0 ? client_lost(err, -r) : 0;
}

int client_service(struct client *c, struct umdev_error *err)
{
	bool any = true;
	int r = 0;

	while (any && r == 0)
		r = client_take(c, -1, err, &any);
	return r;
}

static int client_await(struct client *c, const struct client_call *call, uint16_t id,
			struct umdev_error *err)
{
	uint64_t deadline_ns = clock_now_ns() + c->timeout_ns;
	struct proto_header h;
	bool any;
	int r;

	for (;;) {
		r = client_take(c, id, err, &any);
		if (r != 0)
			break;
		if (any)
			continue;
		r = client_wait(c, POLLIN, deadline_ns);
		if (r == -ETIMEDOUT) {
			error_set(err, ERROR_TIMEOUT, "%s: no reply within %llu s", call->what,
				  (unsigned long long)(c->timeout_ns / NS_PER_S));
			return r;
		}
		if (r < 0)
			return client_lost(err, -r);
	}
	if (r < 0)
		return r;
	memcpy(&h, c->in, sizeof(h));
	if (h.command != call->command)
		return client_broken(err, "a reply to another command");
	if (h.flags & PROTO_ERROR) {
		error_set(err, ERROR_INTERNAL, "%s: the server answers: %s", call->what,
			  strerror((int)h.error));
		client_consume(c);
		return h.error > 0 && h.error < 4096 ? -(int)h.error : -EIO;
	}
	if (h.size - sizeof(h) < call->reply_min)
		return client_broken(err, "a reply that is too short");
	return 0;
}

/* Makes a request. On success the reply is in the buffer until client_consume(). */
static int client_request(struct client *c, const struct client_call *call, struct umdev_error *err)
{
	uint8_t out[sizeof(struct proto_header) + 64 + CLIENT_OUT_MAX];
	struct proto_header h = {.id = c->next_id++, .command = (uint16_t)call->command};
	int r;

	h.size = (uint32_t)(sizeof(h) + call->body_len + call->data_len);
	if (h.size > sizeof(out))
		return error_set(err, ERROR_INVALID, "%s: the request is too long", call->what);
	memcpy(out, &h, sizeof(h));
	memcpy(out + sizeof(h), call->body, call->body_len);
	if (call->data_len)
		memcpy(out + sizeof(h) + call->body_len, call->data, call->data_len);
	r = client_send(c, out, h.size, call->fds, call->fd_count);
	if (r == -ETIMEDOUT) {
		error_set(err, ERROR_TIMEOUT, "%s: the server takes no more requests", call->what);
		return r;
	}
	if (r < 0)
		return client_lost(err, -r);
	return client_await(c, call, h.id, err);
}

/* Connects through a descriptor of the directory when @path is too long for a socket address. */
static int client_connect_fd(int sock, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	umdev_autofree char *dir = NULL;
	umdev_autoclose int dirfd = -1;
	const char *slash = strrchr(path, '/');
	int n;

	if (strlen(path) < sizeof(address.sun_path) || !slash) {
		n = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	} else {
		dir = strndup(path, (size_t)(slash - path) + 1);
		if (!dir)
			return -ENOMEM;
		dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dirfd < 0)
			return -errno;
		n = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d%s",
			     dirfd, slash);
	}
	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	return connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

int client_connect(struct client *c, const char *path, uint64_t timeout_ns, struct umdev_error *err)
{
	int r;

	memset(c, 0, sizeof(*c));
	c->timeout_ns = timeout_ns;
	c->server_fds = 1;
	c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->sock < 0)
		return error_set(err, ERROR_INTERNAL, "socket: %s", strerror(errno));
	r = client_connect_fd(c->sock, path);
	if (r == 0)
		r = fd_set_nonblock(c->sock, true);
	if (r < 0) {
		fd_close(&c->sock);
		error_set(err, ERROR_UNREACHABLE, "%s: %s%s", path, strerror(-r),
			  r == -ENOENT	       ? "; is the mdev started?"
			  : r == -ECONNREFUSED ? "; nobody listens there"
					       : "");
	}
	return r;
}

void client_close(struct client *c)
{
	fd_close_all(c->fds, c->fd_count);
	c->fd_count = 0;
	fd_close(&c->sock);
}

/* What the server's capabilities say that matters here; all of them are optional. */
static void client_capabilities(struct client *c, const char *text, size_t len)
{
	json_t *root = json_loadb(text, len, 0, NULL);
	json_t *fds = json_object_get(json_object_get(root, "capabilities"), "max_msg_fds");

	if (json_is_integer(fds) && json_integer_value(fds) >= 0)
		c->server_fds =
			(uint32_t)MIN(json_integer_value(fds), (json_int_t)CLIENT_IRQ_CHUNK);
	json_decref(root);
}

static int client_version(struct client *c, struct umdev_error *err)
{
	static const struct proto_version version = {.major = 0, .minor = 1};
	char json[160];
	struct proto_version reply;
	size_t len;
	struct client_call call = {
		.command = PROTO_VERSION,
		.what = "VERSION",
		.body = &version,
		.body_len = sizeof(version),
		.data = json,
		.reply_min = sizeof(reply),
	};
	int n = snprintf(json, sizeof(json),
			 "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
			 "\"max_dma_maps\":65535,\"pgsizes\":4096}}",
			 CLIENT_FDS_MAX, CLIENT_TRANSFER_MAX);
	int r;

	call.data_len = (size_t)n + 1;
	r = client_request(c, &call, err);
	if (r == -ECONNRESET)
		error_set(err, ERROR_DEVICE_BUSY,
			  "the server turned this client away; another one may be using the "
			  "device");
	if (r < 0)
		return r;
	memcpy(&reply, c->in + sizeof(struct proto_header), sizeof(reply));
	if (reply.major != version.major || reply.minor > version.minor)
		return client_broken(err, "a version that was not proposed");
	len = strnlen((char *)c->in + sizeof(struct proto_header) + sizeof(reply),
		      c->in_len - sizeof(struct proto_header) - sizeof(reply));
	client_capabilities(c, (char *)c->in + sizeof(struct proto_header) + sizeof(reply), len);
	client_consume(c);
	return 0;
}

int client_negotiate(struct client *c, struct umdev_error *err)
{
	struct proto_device_info info = {.argsz = sizeof(info)};
	struct client_call call = {
		.command = PROTO_GET_INFO,
		.what = "DEVICE_GET_INFO",
		.body = &info,
		.body_len = sizeof(info),
		.reply_min = sizeof(info),
	};
	int r = client_version(c, err);

	if (r == 0)
		r = client_request(c, &call, err);
	if (r < 0)
		return r;
	memcpy(&info, c->in + sizeof(struct proto_header), sizeof(info));
	client_consume(c);
	if (!(info.flags & PROTO_DEVICE_PCI) || info.num_regions <= PROTO_REGION_CONFIG ||
	    info.num_regions > CLIENT_REGIONS_MAX)
		return error_set(err, ERROR_INVALID, "the device is not a PCI device");
	c->num_regions = info.num_regions;
	c->num_irqs = info.num_irqs;
	c->device_flags = info.flags;
	return 0;
}

/* Finds the areas that may be mapped in the capabilities behind @info. */
static int client_region_areas(const uint8_t *reply, size_t len,
			       const struct proto_region_info *info, struct client_region *region,
			       struct umdev_error *err)
{
	struct proto_sparse_mmap sparse;
	size_t at = info->flags & PROTO_REGION_CAPS ? info->cap_offset : 0;

	if (!at) {
		region->areas[0] = (struct proto_area){.size = info->size};
		region->area_count = 1;
		return 0;
	}
	for (unsigned hops = 0; at && hops < 16; hops++) {
		if (at > len || len - at < sizeof(struct proto_cap_header))
			return client_broken(err, "a region capability outside of its message");
		memcpy(&sparse.header, reply + at, sizeof(sparse.header));
		if (sparse.header.id != PROTO_CAP_SPARSE_MMAP) {
			at = sparse.header.next;
			continue;
		}
		if (len - at < sizeof(sparse))
			return client_broken(err, "a sparse mmap capability that is cut");
		memcpy(&sparse, reply + at, sizeof(sparse));
		region->area_count = MIN(sparse.nr_areas, CLIENT_AREAS_MAX);
		if ((len - at - sizeof(sparse)) / sizeof(struct proto_area) < region->area_count)
			return client_broken(err, "a sparse mmap capability that is cut");
		memcpy(region->areas, reply + at + sizeof(sparse),
		       region->area_count * sizeof(struct proto_area));
		return 0;
	}
	region->areas[0] = (struct proto_area){.size = info->size};
	region->area_count = 1;
	return 0;
}

int client_region_info(struct client *c, uint32_t index, struct client_region *ret_region,
		       struct umdev_error *err)
{
	struct proto_region_info info = {.argsz = sizeof(info), .index = index};
	struct client_call call = {
		.command = PROTO_GET_REGION_INFO,
		.what = "DEVICE_GET_REGION_INFO",
		.body = &info,
		.body_len = sizeof(info),
		.reply_min = sizeof(info),
	};
	struct client_region region = {.fd = -1};
	int r;

	/* A second time when the server has more to say than the first answer could hold. */
	for (unsigned attempt = 0; attempt < 2; attempt++) {
		r = client_request(c, &call, err);
		if (r < 0)
			return r;
		memcpy(&info, c->in + sizeof(struct proto_header), sizeof(info));
		if (info.argsz <= c->in_len - sizeof(struct proto_header))
			break;
		client_consume(c);
		if (info.argsz > CLIENT_TRANSFER_MAX || attempt)
			return client_broken(err, "region information of impossible size");
		info = (struct proto_region_info){.argsz = info.argsz, .index = index};
	}
	region.size = info.size;
	region.flags = info.flags;
	region.fd_offset = info.offset;
	if (info.flags & PROTO_REGION_MMAP && c->fd_count == 1) {
		r = client_region_areas(c->in + sizeof(struct proto_header),
					c->in_len - sizeof(struct proto_header), &info, &region,
					err);
		if (r == 0)
			region.fd = umdev_steal_fd(&c->fds[0]);
	}
	client_consume(c);
	if (r == 0)
		*ret_region = region;
	return r;
}

int client_irq_count(struct client *c, uint32_t index, uint32_t *ret_count, struct umdev_error *err)
{
	struct proto_irq_info info = {.argsz = sizeof(info), .index = index};
	struct client_call call = {
		.command = PROTO_GET_IRQ_INFO,
		.what = "DEVICE_GET_IRQ_INFO",
		.body = &info,
		.body_len = sizeof(info),
		.reply_min = sizeof(info),
	};
	int r;

	if (index >= c->num_irqs) {
		*ret_count = 0;
		return 0;
	}
	r = client_request(c, &call, err);
	if (r < 0)
		return r;
	memcpy(&info, c->in + sizeof(struct proto_header), sizeof(info));
	client_consume(c);
	*ret_count = info.count;
	return 0;
}

static int client_set_irq_part(struct client *c, const struct proto_irq_set *set, const int *fds,
			       uint32_t fd_count, struct umdev_error *err)
{
	struct client_call call = {
		.command = PROTO_SET_IRQS,
		.what = "DEVICE_SET_IRQS",
		.body = set,
		.body_len = sizeof(*set),
		.fds = fds,
		.fd_count = fd_count,
	};
	int r = client_request(c, &call, err);

	if (r == 0)
		client_consume(c);
	return r;
}

int client_set_irqs(struct client *c, uint32_t index, const int *fds, uint32_t count,
		    struct umdev_error *err)
{
	struct proto_irq_set set = {
		.argsz = sizeof(set),
		.flags = PROTO_IRQ_ACTION_TRIGGER | PROTO_IRQ_DATA_NONE,
		.index = index,
	};
	uint32_t chunk = c->server_fds;
	int r = 0;

	if (count == 0)
		return client_set_irq_part(c, &set, NULL, 0, err);
	if (chunk == 0)
		return error_set(err, ERROR_INVALID,
				 "the server takes no descriptors, so it cannot interrupt; "
				 "use --poll");
	set.flags = PROTO_IRQ_ACTION_TRIGGER | PROTO_IRQ_DATA_EVENTFD;
	for (uint32_t at = 0; at < count && r == 0; at += set.count) {
		set.start = at;
		set.count = MIN(chunk, count - at);
		r = client_set_irq_part(c, &set, fds + at, set.count, err);
	}
	return r;
}

int client_unmask_intx(struct client *c)
{
	struct {
		struct proto_header header;
		struct proto_irq_set set;
	} message = {
		.header = {.id = c->next_id++,
			   .command = PROTO_SET_IRQS,
			   .size = sizeof(message),
			   .flags = PROTO_NO_REPLY},
		.set = {.argsz = sizeof(message.set),
			.flags = PROTO_IRQ_ACTION_UNMASK | PROTO_IRQ_DATA_NONE,
			.index = PROTO_IRQ_INTX,
			.count = 1},
	};
	static_assert(sizeof(message) == 36, "wire layout");

	return client_send(c, &message, sizeof(message), NULL, 0);
}

int client_map(struct client *c, const struct arena *arena, struct umdev_error *err)
{
	struct proto_dma_map map = {
		.argsz = sizeof(map),
		.flags = PROTO_DMA_READABLE | PROTO_DMA_WRITABLE,
		.addr = arena->iova,
		.size = arena->size,
	};
	struct client_call call = {
		.command = PROTO_DMA_MAP,
		.what = "DMA_MAP",
		.body = &map,
		.body_len = sizeof(map),
		.fds = &arena->fd,
		.fd_count = 1,
	};
	int r;

	c->memory = arena;
	r = client_request(c, &call, err);
	if (r == 0)
		client_consume(c);
	return r;
}

int client_unmap(struct client *c, struct umdev_error *err)
{
	struct proto_dma_unmap unmap = {
		.argsz = sizeof(unmap), .addr = c->memory->iova, .size = c->memory->size};
	struct client_call call = {
		.command = PROTO_DMA_UNMAP,
		.what = "DMA_UNMAP",
		.body = &unmap,
		.body_len = sizeof(unmap),
	};
	int r = client_request(c, &call, err);

	if (r == 0)
		client_consume(c);
	return r;
}

int client_read(struct client *c, uint32_t region, uint64_t offset, void *buf, uint32_t count,
		struct umdev_error *err)
{
	struct proto_region_access access = {.offset = offset, .region = region, .count = count};
	struct client_call call = {
		.command = PROTO_REGION_READ,
		.what = "REGION_READ",
		.body = &access,
		.body_len = sizeof(access),
		.reply_min = sizeof(access) + count,
	};
	int r = client_request(c, &call, err);

	if (r < 0)
		return r;
	memcpy(buf, c->in + sizeof(struct proto_header) + sizeof(access), count);
	client_consume(c);
	return 0;
}

int client_write(struct client *c, uint32_t region, uint64_t offset, const void *buf,
		 uint32_t count, struct umdev_error *err)
{
	struct proto_region_access access = {.offset = offset, .region = region, .count = count};
	struct client_call call = {
		.command = PROTO_REGION_WRITE,
		.what = "REGION_WRITE",
		.body = &access,
		.body_len = sizeof(access),
		.data = buf,
		.data_len = count,
		.reply_min = sizeof(access),
	};
	int r = client_request(c, &call, err);

	if (r == 0)
		client_consume(c);
	return r;
}

int client_post_write32(struct client *c, uint64_t offset, uint32_t value)
{
	struct {
		struct proto_header header;
		struct proto_region_access access;
		uint32_t value;
	} message = {
		.header = {.id = c->next_id++,
			   .command = PROTO_REGION_WRITE,
			   .size = sizeof(struct proto_header) +
				   sizeof(struct proto_region_access) + sizeof(uint32_t),
			   .flags = PROTO_NO_REPLY},
		.access = {.offset = offset, .region = PROTO_REGION_BAR0, .count = 4},
		.value = value,
	};

	c->posted++;
	return client_send(c, &message, message.header.size, NULL, 0);
}
