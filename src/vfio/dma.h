/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory inside of a session: the table of maps, mapped files, transfers by message and the
 * look whether memory is shared. For the files of this directory; everybody else translates by
 * session.h. Everything belongs to the reactor's thread.
 */
#pragma once

#include "util/list.h"
#include "util/reactor.h"
#include "vfio/session.h"
#include "vfio/sigbus.h"
#include "vfio/wire.h"

struct vfio_request;

#define VFIO_SHARE_BYTES 4096u
/* The address space that one client can take: above any VM, below what would hurt the others. */
#define VFIO_MEMORY_BYTES_MAX (16ULL << 40)
#define VFIO_TRANSFERS_MAX    4096u
/* What all clients of the process can take together. Half of it is set aside in equal parts for as
 * many sessions as there can be; of the other half nobody gets more than is then left for the
 * others. */
#define VFIO_ALL_BYTES_MAX (96ULL << 40) /* of the 128 TiB of a process */
#define VFIO_ALL_FILES_MAX ((uint64_t)SIGBUS_RANGES_MAX)

/* A mapped file of guest memory, number = its row in the page. */
struct dma_file {
	uint8_t *base;
	uint64_t size;
	struct sigbus_range *guard;
	int fd; /* for whoever takes the session over (handover.c); -1: not held */
	uint32_t number;
	uint32_t refs; /* entries of the table */
	bool checked;  /* shared, or not to be found out */
	uint8_t strikes;
	uint32_t check_wait; /* translations until the next look */
	uint32_t check_pause;
};

/* One map, in the sorted table. */
struct dma_entry {
	uint64_t start;
	uint64_t last;
	uint8_t *host; /* NULL: by message only */
	struct dma_file *file;
	uint32_t row;
	uint32_t access;
};

struct dma_table {
	struct dma_entry *entries; /* by start; they never overlap */
	uint32_t *free_rows;	   /* of the page, below maps_used */
	uint32_t count;
	uint32_t capacity; /* of both arrays */
	uint32_t free_count;
	uint32_t hit; /* the entry found last */
	uint64_t mapped_bytes;
	uint64_t mapped_files;
	struct dma_file **files; /* VFIO_SLOT_MEMORY_MAX of them, made with the first file */
	bool dying;		 /* a file has no more references */
	/* Holds by the parity of the epoch in which they were taken: two epochs are ever alive. */
	uint64_t holds[2];
	uint32_t epoch;
};

/* A transfer by messages, one chunk at a time. */
struct dma_transfer {
	struct list link;
	uint64_t iova;
	uint8_t *buf;
	uint64_t len;
	uint64_t pos;
	vfio_dma_done *done;
	void *arg;
	bool write;
};

/* The same piece of memory, through the mapping and by message. */
struct share_copies {
	uint8_t before[VFIO_SHARE_BYTES];
	uint8_t message[VFIO_SHARE_BYTES];
};

/* The look whether memory is shared: a piece is read both ways. */
struct share_check {
	struct dma_file *file; /* the one asked for or under way; NULL: none, or unmapped since */
	const uint8_t *host;
	uint64_t iova;
	bool wanted;
	bool running;
	struct share_copies *copies; /* made with the first look */
};

/* ---- dma.c */

/* The handlers of DMA_MAP and DMA_UNMAP, as in command.c. */
int dma_map_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);
int dma_unmap_serve(struct vfio_session *s, struct vfio_request *q, uint32_t *ret_len);

/* The entry that holds @iova, or NULL. */
const struct dma_entry *dma_find(struct vfio_session *s, uint64_t iova);

/* Has what was translated before now come to its end. 0, or -EINPROGRESS as an unmap. */
int dma_drain(struct vfio_session *s) umdev_warn_unused;

/* Whether an unmap that waits can go on; ends it: releases memory that is not used any more. */
bool dma_unmap_ready(const struct vfio_session *s);
void dma_unmap_finish(struct vfio_session *s);

/* Unmaps everything, as when the client leaves and nothing is held. With @keep the page and the
 * slots stay as they are. */
void dma_clear(struct vfio_session *s, bool keep);

/* Makes the table anew from the rows of the page. @fds: of the memory files by number, -1 without.
 */
int dma_resume(struct vfio_session *s, const int *fds) umdev_warn_unused;

/* ---- dma_file.c */

/* The mapped file that holds [@offset, +@size) of @fd, mapped and kept if it is new. */
int dma_file_get(struct vfio_session *s, int fd, const struct wire_dma_map *map,
		 struct dma_file **ret_file) umdev_warn_unused;

/* Of the @own of a session, what is beyond its part of the half of @total that is set aside. */
uint64_t dma_excess(uint64_t total, uint64_t own);

/* Whether a session that has @own of @total may have @more, when all together have @excess. */
bool dma_share_fair(uint64_t total, uint64_t excess, uint64_t own, uint64_t more);

/* Unmaps a file. With @keep the page and the slot stay. */
void dma_file_free(struct vfio_session *s, struct dma_file *file, bool keep);

/* Whether @fd is the file behind @file. */
bool dma_file_same(const struct vfio_session *s, const struct dma_file *file, int fd);

/* Maps the file of row @number as an earlier process had it, from its descriptor (borrowed). */
int dma_file_resume(struct vfio_session *s, uint32_t number, int fd) umdev_warn_unused;

/* The handler of s->wake. */
void dma_file_wake(struct reactor_fd *source, uint32_t events);

/* ---- dma_message.c */

/* Queues a transfer of @len bytes at @iova. Returns -EINPROGRESS or -errno. */
int message_start(struct vfio_session *s, struct dma_transfer transfer) umdev_warn_unused;

/* Sends what can be sent. */
void message_pump(struct vfio_session *s);

/* The client's reply in s->request. */
void message_reply(struct vfio_session *s);

/* Ends every transfer with @status. */
void message_cancel(struct vfio_session *s, int status);

/* After another process: nobody waits any more for the replies to what it sent; they will come. */
void message_resume(struct vfio_session *s);

/* The reply in s->request was taken by another process, which may have looked at it or not. */
void message_forget_reply(struct vfio_session *s);

/* Frees the objects, calls nobody. */
void message_free(struct vfio_session *s);

/* ---- share.c */

/* A translation met memory that is not known to be shared. Cheap. */
void share_notice(struct vfio_session *s, const struct dma_entry *entry, uint64_t iova);

/* The look has ended (a vfio_dma_done). */
void share_done(void *arg, int status);

/* Starts the look that is wanted. */
void share_start(struct vfio_session *s);

/* Forgets everything, with the client. Nothing is under way. */
void share_clear(struct vfio_session *s);

/* The map @entry goes: what stands at the address of a look within is another page from now on. */
void share_unmapped(struct vfio_session *s, const struct dma_entry *entry);

/* @file goes: forget it. */
void share_forget(struct vfio_session *s, const struct dma_file *file);
