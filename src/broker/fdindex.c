/* SPDX-License-Identifier: BSD-3-Clause */
/* See fdindex.h. */
#include "broker/fdindex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "util/fd.h"

#define FDINDEX_MAGIC 0x31786469756d6466ULL /* "fdmuidx1" */

struct fdindex_owner_row {
	uint64_t number;
	uint32_t used; /* written last */
	uint32_t reserved;
	char name[FDINDEX_NAME_SIZE];
};

struct fdindex_ref_row {
	uint32_t owner; /* its row + 1, written last; 0: free */
	uint32_t key;
	uint32_t id;
	uint32_t reserved;
};

struct fdindex_map {
	uint64_t magic;
	uint64_t size;
	struct fdindex_owner_row owners[FDINDEX_OWNERS];
	struct fdindex_ref_row refs[FDINDEX_REFS];
};

/* ---- Beginning and end ----------------------------------------------------------------------- */

void fdindex_done(struct fdindex *index)
{
	if (index->map)
		munmap(index->map, sizeof(*index->map));
	free(index->free_owners);
	free(index->free_refs);
	fd_close(&index->fd);
	memset(index, 0, sizeof(*index));
	index->fd = -1;
}

static int fdindex_map(struct fdindex *index, int fd)
{
	void *map = mmap(NULL, sizeof(*index->map), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	index->map = map;
	index->free_owners = calloc(FDINDEX_OWNERS, sizeof(uint32_t));
	index->free_refs = calloc(FDINDEX_REFS, sizeof(uint32_t));
	return index->free_owners && index->free_refs ? 0 : -ENOMEM;
}

/* Collects the free rows, the first ones on top. */
static void fdindex_count(struct fdindex *index)
{
	index->free_owner_count = 0;
	index->free_ref_count = 0;
	for (uint32_t i = FDINDEX_OWNERS; i-- > 0;) {
		if (!index->map->owners[i].used)
			index->free_owners[index->free_owner_count++] = i;
	}
	for (uint32_t i = FDINDEX_REFS; i-- > 0;) {
		if (!index->map->refs[i].owner)
			index->free_refs[index->free_ref_count++] = i;
	}
}

int fdindex_new(struct fdindex *index)
{
	int fd = fd_memfd("umdev-index", sizeof(*index->map));
	int r = fd < 0 ? fd : fdindex_map(index, fd);

	if (fd >= 0)
		index->fd = fd;
	if (r < 0) {
		fdindex_done(index);
		return r;
	}
	index->map->magic = FDINDEX_MAGIC;
	index->map->size = sizeof(*index->map);
	fdindex_count(index);
	return 0;
}

static bool fdindex_name_ok(const char name[FDINDEX_NAME_SIZE])
{
	size_t len = strnlen(name, FDINDEX_NAME_SIZE);

	for (size_t i = 0; i < len; i++) {
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	}
	return len > 0 && len < FDINDEX_NAME_SIZE;
}

/* Takes out what breaks the rules. */
static void fdindex_clean(struct fdindex *index)
{
	for (uint32_t i = 0; i < FDINDEX_OWNERS; i++) {
		struct fdindex_owner_row *row = &index->map->owners[i];

		if (row->used && !fdindex_name_ok(row->name))
			row->used = 0;
	}
	for (uint32_t i = 0; i < FDINDEX_REFS; i++) {
		struct fdindex_ref_row *row = &index->map->refs[i];
		uint32_t owner = row->owner;

		if (owner > FDINDEX_OWNERS || (owner && !index->map->owners[owner - 1].used))
			row->owner = 0;
	}
}

int fdindex_adopt(struct fdindex *index, int *fd)
{
	int seals = fcntl(*fd, F_GET_SEALS);
	struct stat st;
	int r;

	/* Only a file in memory has seals. */
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(*fd, &st) < 0 ||
	    st.st_size != (off_t)sizeof(*index->map))
		return -EBADMSG;
	r = fdindex_map(index, *fd);
	if (r == 0 &&
	    (index->map->magic != FDINDEX_MAGIC || index->map->size != sizeof(*index->map)))
		r = -EBADMSG;
	if (r < 0) {
		fdindex_done(index);
		return r;
	}
	index->fd = umdev_steal_fd(fd);
	fdindex_clean(index);
	fdindex_count(index);
	return 0;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* The next daemon finds the rest of a row whenever it finds the word that makes it count. */
static void fdindex_store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

int fdindex_add_owner(struct fdindex *index, const char *name)
{
	struct fdindex_owner_row *row;
	size_t len = strlen(name);
	uint32_t i;

	if (index->free_owner_count == 0 || len >= FDINDEX_NAME_SIZE)
		return -ENOSPC;
	i = index->free_owners[--index->free_owner_count];
	row = &index->map->owners[i];
	row->number = 0;
	memset(row->name, 0, sizeof(row->name));
	memcpy(row->name, name, len);
	fdindex_store(&row->used, 1);
	return (int)i;
}

void fdindex_drop_owner(struct fdindex *index, uint32_t row)
{
	fdindex_store(&index->map->owners[row].used, 0);
	index->free_owners[index->free_owner_count++] = row;
}

void fdindex_set_number(struct fdindex *index, uint32_t row, uint64_t number)
{
	__atomic_store_n(&index->map->owners[row].number, number, __ATOMIC_RELEASE);
}

int fdindex_add_ref(struct fdindex *index, uint32_t owner, uint32_t key, uint32_t id)
{
	struct fdindex_ref_row *row;
	uint32_t i;

	if (index->free_ref_count == 0)
		return -ENOSPC;
	i = index->free_refs[--index->free_ref_count];
	row = &index->map->refs[i];
	row->key = key;
	row->id = id;
	fdindex_store(&row->owner, owner + 1);
	return (int)i;
}

void fdindex_set_ref(struct fdindex *index, uint32_t row, uint32_t id)
{
	fdindex_store(&index->map->refs[row].id, id);
}

void fdindex_drop_ref(struct fdindex *index, uint32_t row)
{
	fdindex_store(&index->map->refs[row].owner, 0);
	index->free_refs[index->free_ref_count++] = row;
}

bool fdindex_owner(const struct fdindex *index, uint32_t row, char ret_name[FDINDEX_NAME_SIZE],
		   uint64_t *ret_number)
{
	const struct fdindex_owner_row *r = &index->map->owners[row];

	if (!r->used)
		return false;
	memcpy(ret_name, r->name, FDINDEX_NAME_SIZE);
	*ret_number = r->number;
	return true;
}

bool fdindex_ref(const struct fdindex *index, uint32_t row, uint32_t *ret_owner, uint32_t *ret_key,
		 uint32_t *ret_id)
{
	const struct fdindex_ref_row *r = &index->map->refs[row];

	if (!r->owner)
		return false;
	*ret_owner = r->owner - 1;
	*ret_key = r->key;
	*ret_id = r->id;
	return true;
}
