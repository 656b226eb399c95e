/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver for the tests of names and ids: one device that is another card after it was removed and
 * added again. The option cards chooses what is in the slot.
 *
 *   m60    ids 11, 12, 13
 *   p100   11 and 12 are other types; the type that m60 calls 13 is 21
 *   q1000  nothing of either
 *   own    one type, whose class and attributes are options, well formed or not
 *
 * It has attributes of each time at which one may change, and refuses some values when it is asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <umdev/driver.h>

#define SWAP_OWN_ATTRS_MAX 8

static const struct umdev_host_ops *host;

enum swap_attr { SWAP_COLOR, SWAP_DEPTH, SWAP_SHAPE, SWAP_SPEED, SWAP_SIZE };
enum swap_option { SWAP_CARDS, SWAP_CLASS, SWAP_ATTRS };

static const struct umdev_option swap_options[] = {
	[SWAP_CARDS] = {.name = "cards",
			.description = "what is in the slot",
			.default_value = "m60",
			.choices = "m60 p100 q1000 own",
			.kind = UMDEV_KIND_ENUM},
	[SWAP_CLASS] = {.name = "class",
			.description = "own: the class of its type",
			.default_value = "compute",
			.max = 32,
			.kind = UMDEV_KIND_STRING},
	[SWAP_ATTRS] = {.name = "attrs",
			.description = "own: attributes of its type, NAME=VALUE;...",
			.default_value = "",
			.max = 256,
			.kind = UMDEV_KIND_STRING},
	{0},
};

/* The values "no..." are refused by the device, not by the table. */
static const struct umdev_attr swap_attrs[] = {
	[SWAP_COLOR] = {.name = "color",
			.description = "live",
			.default_value = "red",
			.max = 16,
			.kind = UMDEV_KIND_STRING,
			.when = UMDEV_WHEN_LIVE},
	[SWAP_DEPTH] = {.name = "depth",
			.description = "live, too",
			.default_value = "8",
			.min = 1,
			.max = 64,
			.kind = UMDEV_KIND_U64,
			.when = UMDEV_WHEN_LIVE},
	[SWAP_SHAPE] = {.name = "shape",
			.description = "live as well",
			.default_value = "round",
			.max = 16,
			.kind = UMDEV_KIND_STRING,
			.when = UMDEV_WHEN_LIVE},
	[SWAP_SPEED] = {.name = "speed",
			.description = "while nobody uses it",
			.default_value = "slow",
			.choices = "slow fast",
			.kind = UMDEV_KIND_ENUM,
			.when = UMDEV_WHEN_IDLE},
	[SWAP_SIZE] = {.name = "size",
		       .description = "at its creation",
		       .default_value = "4096",
		       .min = 1,
		       .max = 1048576,
		       .kind = UMDEV_KIND_BYTES,
		       .when = UMDEV_WHEN_CREATE},
	{0},
};

struct swap_parent {
	struct umdev_type own;
	struct umdev_type_attr own_attrs[SWAP_OWN_ATTRS_MAX + 1];
	char class_name[33];
	char text[257];
};

/* What a guest reads in BAR 0. */
struct swap_state {
	uint32_t id;
	uint32_t scratch;
	uint32_t depth;
	char color[4]; /* its beginning */
	uint32_t sets; /* attributes that were set while it was there */
};

struct swap_mdev {
	struct swap_state *state;
};

static const struct umdev_type_attr swap_display[] = {
	{"fb_length", "512M"}, {"max_resolution", "2560x1600"},
	{"heads", "2"},	       {"vendor_line", "7"},
	{NULL, NULL},
};

#define SWAP_TYPE(the_id, the_name, the_cost)                                                      \
	{                                                                                          \
		.id = the_id, .name = the_name, .class_name = "display", .attrs = swap_display,    \
		.cost = the_cost, .qos = UMDEV_QOS_CAP | UMDEV_QOS_WEIGHT | UMDEV_QOS_PRIORITY     \
	}

static const struct umdev_type swap_m60[] = {
	SWAP_TYPE("11", "GRID M60-0B", 1),
	SWAP_TYPE("12", "GRID M60-0Q", 2),
	SWAP_TYPE("13", "GRID M60-1B", 2),
};
static const struct umdev_type swap_p100[] = {
	SWAP_TYPE("11", "GRID P100-1Q", 1),
	SWAP_TYPE("12", "GRID P100-2Q", 2),
	SWAP_TYPE("21", "GRID M60-1B", 2),
};
static const struct umdev_type swap_q1000[] = {
	SWAP_TYPE("31", "Q1000-1A", 1),
	SWAP_TYPE("32", "Q1000-2A", 2),
};

static const struct swap_card {
	const struct umdev_type *types;
	uint32_t count;
	uint32_t units;
} swap_cards[] = {{swap_m60, 3, 16}, {swap_p100, 3, 24}, {swap_q1000, 2, 16}};

/* Takes "a=1;b=2" apart. */
static int swap_take_attrs(struct swap_parent *p, const char *text)
{
	size_t n = 0;
	char *save = NULL;

	strncpy(p->text, text, sizeof(p->text) - 1);
	for (char *row = strtok_r(p->text, ";", &save); row; row = strtok_r(NULL, ";", &save)) {
		char *value = strchr(row, '=');

		if (n == SWAP_OWN_ATTRS_MAX)
			return host->fail(EINVAL, "more than %d attributes", SWAP_OWN_ATTRS_MAX);
		if (value)
			*value++ = '\0';
		p->own_attrs[n++] = (struct umdev_type_attr){row, value};
	}
	return 0;
}

static int swap_parent_open(struct umdev_parent *parent, const struct umdev_parent_args *args,
			    struct umdev_parent_info *ret_info, void **ret_priv)
{
	uint64_t card = args->values[SWAP_CARDS].number;
	struct swap_parent *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	strncpy(p->class_name, args->values[SWAP_CLASS].text, sizeof(p->class_name) - 1);
	r = swap_take_attrs(p, args->values[SWAP_ATTRS].text);
	if (r < 0) {
		free(p);
		return r;
	}
	p->own = (struct umdev_type){.id = "own",
				     .name = "an own type",
				     .class_name = p->class_name,
				     .attrs = p->own_attrs,
				     .cost = 1};
	if (card < sizeof(swap_cards) / sizeof(swap_cards[0])) {
		ret_info->types = swap_cards[card].types;
		ret_info->type_count = swap_cards[card].count;
		ret_info->pool_units = swap_cards[card].units;
	} else {
		ret_info->types = &p->own;
		ret_info->type_count = 1;
		ret_info->pool_units = 4;
	}
	ret_info->pool_unit = "slots";
	*ret_priv = p;
	return 0;
}

static int swap_reset(void *priv, uint32_t kind)
{
	struct swap_mdev *m = priv;

	m->state->id = 0x70617773;
	m->state->scratch = 0;
	return 0;
}

static void swap_take(struct swap_state *state, uint32_t index, const struct umdev_value *value)
{
	if (index == SWAP_DEPTH)
		state->depth = (uint32_t)value->number;
	if (index == SWAP_COLOR)
		memcpy(state->color, value->text, strnlen(value->text, sizeof(state->color)));
}

static int swap_mdev_create(void *parent_priv, struct umdev_mdev *mdev,
			    const struct umdev_mdev_args *args, struct umdev_device *ret_device,
			    void **ret_priv)
{
	struct swap_mdev *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->state = args->state;
	if (args->state_origin == UMDEV_STATE_NEW)
		swap_reset(m, UMDEV_RESET_DEVICE);
	for (uint32_t i = 0; i < args->value_count; i++)
		swap_take(m->state, i, &args->values[i]);
	ret_device->vendor_id = 0x1b36;
	ret_device->device_id = 0x00fc;
	ret_device->class_code = 0xff0000;
	ret_device->msi_vectors = 1;
	ret_device->bars[0].size = 4096;
	*ret_priv = m;
	return 0;
}

static int swap_attr_set(void *priv, uint32_t index, const struct umdev_value *value)
{
	struct swap_mdev *m = priv;

	if (value->text && strncmp(value->text, "no", 2) == 0)
		return host->fail(EIO, "the device takes no %s", value->text);
	swap_take(m->state, index, value);
	m->state->sets++;
	return 0;
}

static int swap_region_read(void *priv, uint32_t bar, uint64_t offset, void *buf, uint32_t len)
{
	const struct swap_mdev *m = priv;

	memset(buf, 0, len);
	if (offset + len <= sizeof(*m->state))
		memcpy(buf, (const char *)m->state + offset, len);
	return 0;
}

static int swap_region_write(void *priv, uint32_t bar, uint64_t offset, const void *buf,
			     uint32_t len)
{
	struct swap_mdev *m = priv;

	if (offset == 4 && len == 4)
		memcpy(&m->state->scratch, buf, len);
	return 0;
}

UMDEV_REGISTER_DRIVER(host, .name = "swap", .description = "for the tests of names and ids",
		      .version = "1", .state_version = 1, .state_size = sizeof(struct swap_state),
		      .options = swap_options, .attrs = swap_attrs, .parent_open = swap_parent_open,
		      .parent_close = free, .mdev_create = swap_mdev_create, .mdev_remove = free,
		      .region_read = swap_region_read, .region_write = swap_region_write,
		      .reset = swap_reset, .attr_set = swap_attr_set)
