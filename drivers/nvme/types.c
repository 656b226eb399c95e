/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Types of a parent, from a list of sizes such as "1g,4g,512m,rest".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"

#define MIB (1ull << 20)

/* Takes one size, "<number>{m,g,t}". Returns 0 or -EINVAL. */
static int types_size(const char *text, size_t len, uint64_t *ret_bytes)
{
	uint64_t n = 0;
	uint64_t unit;

	if (len < 2)
		return -EINVAL;
	for (size_t i = 0; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9' || (i == 0 && text[i] == '0') ||
		    __builtin_mul_overflow(n, 10ull, &n))
			return -EINVAL;
		n += (uint64_t)(text[i] - '0');
	}
	switch (text[len - 1]) {
	case 'm':
		unit = MIB;
		break;
	case 'g':
		unit = MIB << 10;
		break;
	case 't':
		unit = MIB << 20;
		break;
	default:
		return -EINVAL;
	}
	return __builtin_mul_overflow(n, unit, ret_bytes) || *ret_bytes > INT64_MAX ? -EINVAL : 0;
}

static void types_human(uint64_t bytes, char *to, size_t size)
{
	static const char *const units[] = {"MiB", "GiB", "TiB"};
	uint64_t n = bytes / MIB;
	uint32_t unit = 0;

	while (unit < 2 && n % 1024 == 0) {
		n /= 1024;
		unit++;
	}
	snprintf(to, size, "%llu %s", (unsigned long long)n, units[unit]);
}

/* The name is the contract: what differs has another name. */
static void types_add(struct nvme_parent *p, const char *id, size_t id_len, uint64_t bytes)
{
	struct nvme_type *text = &p->texts[p->type_count];
	struct umdev_type *type = &p->types[p->type_count++];
	bool large = p->block_size == 4096;
	char human[32] = "rest";

	if (bytes > 0)
		types_human(bytes, human, sizeof(human));
	snprintf(text->id, sizeof(text->id), "%.*s", (int)id_len, id);
	snprintf(text->name, sizeof(text->name), "umdev NVMe %s%s", human,
		 large ? ", 4 KiB blocks" : "");
	snprintf(text->description, sizeof(text->description), "NVMe drive of %s, %u-byte blocks",
		 bytes > 0 ? human : "the largest free piece", p->block_size);
	*type = (struct umdev_type){
		.id = text->id,
		.name = text->name,
		.description = text->description,
		.class_name = "storage",
		.attrs = p->type_attrs,
		.cost = bytes > 0 ? bytes : NVME_POOL_ALIGN,
		.flags = bytes > 0 ? 0 : UMDEV_TYPE_REST,
		.group_scope = UMDEV_GROUP_DRIVER, /* the drives of one machine, on any disks */
		.group_hotplug = 1,
		.qos = UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY,
	};
}

/* Adds what @word names. Returns 0, or -EINVAL after saying why. */
static int types_word(struct nvme_parent *p, const char *word, size_t len)
{
	uint64_t bytes = 0;
	bool rest = len == 4 && memcmp(word, "rest", 4) == 0;

	if (!rest &&
	    (len >= sizeof(p->texts[0].id) || types_size(word, len, &bytes) < 0 || bytes == 0))
		return nvme_host->fail(EINVAL,
				       "types: '%.*s' is not a size such as 512m, 1g, 2t, nor "
				       "'rest'",
				       (int)len, word);
	for (uint32_t i = 0; i < p->type_count; i++) {
		if ((p->types[i].flags & UMDEV_TYPE_REST) ? rest
							  : !rest && p->types[i].cost == bytes)
			return nvme_host->fail(EINVAL, "types: '%.*s' repeats type '%s'", (int)len,
					       word, p->types[i].id);
	}
	if (p->type_count == NVME_TYPES_MAX)
		return nvme_host->fail(EINVAL, "types: more than %u of them", NVME_TYPES_MAX);
	types_add(p, word, len, bytes);
	return 0;
}

int nvme_types_parse(struct nvme_parent *p, const char *list)
{
	snprintf(p->block_size_text, sizeof(p->block_size_text), "%u", p->block_size);
	p->type_attrs[0] = (struct umdev_type_attr){.name = "capacity"};
	p->type_attrs[1] =
		(struct umdev_type_attr){.name = "block_size", .value = p->block_size_text};
	for (;;) {
		size_t len = strcspn(list, ",");
		int rc = types_word(p, list, len);

		if (rc < 0)
			return rc;
		if (list[len] == '\0')
			return 0;
		list += len + 1;
	}
}
