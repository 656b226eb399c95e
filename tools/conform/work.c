/* SPDX-License-Identifier: BSD-3-Clause */
/* Work that a guest makes. See work.h. */
#include "work.h"

#include <stdlib.h>
#include <string.h>

#include "work-nvme.h"

#define WORK_CLASS_NVME	 0x010802u
#define WORK_CLASS_16550 0x070002u

/* How the work of a kind of device is made. */
struct work_kind {
	uint32_t class_code; /* 0: by the driver's name */
	const char *driver;
	struct conform_poke poke; /* one register write is one job; size 0: see @nvme */
	bool nvme;
};

/* A device that is known gets a row here. */
static const struct work_kind work_kinds[] = {
	{.class_code = WORK_CLASS_NVME, .nvme = true},
	/* A byte to send. */
	{.class_code = WORK_CLASS_16550, .poke = {.bar = 0, .offset = 0, .size = 1, .value = 'U'}},
	{.driver = "null", .poke = {.bar = 0, .offset = 8, .size = 4, .value = 1}},
};

struct work {
	struct work_device device;
	struct conform_poke pokes[OPTIONS_POKES_MAX];
	uint32_t poke_count;
	struct work_nvme *nvme;
};

static const struct work_kind *work_kind_of(const struct work_device *device)
{
	for (size_t i = 0; i < ARRAY_SIZE(work_kinds); i++) {
		const struct work_kind *k = &work_kinds[i];

		if (k->driver ? strcmp(k->driver, device->driver) == 0
			      : k->class_code == device->class_code)
			return k;
	}
	return NULL;
}

struct work *work_new(const struct work_device *device, const struct conform_options *options,
		      const char **ret_reason)
{
	const struct work_kind *kind = work_kind_of(device);
	struct work *w;

	*ret_reason = "no work is known for this device: describe it with --poke or --work";
	if (options->poke_count == 0 && !kind)
		return NULL;
	w = calloc(1, sizeof(*w));
	*ret_reason = "out of memory";
	if (!w)
		return NULL;
	w->device = *device;
	if (options->poke_count > 0) {
		memcpy(w->pokes, options->pokes, options->poke_count * sizeof(*w->pokes));
		w->poke_count = options->poke_count;
	} else if (kind->nvme) {
		w->nvme = work_nvme_new(&w->device);
		if (!w->nvme) {
			free(w);
			return NULL;
		}
	} else {
		w->pokes[0] = kind->poke;
		w->poke_count = 1;
	}
	return w;
}

const char *work_begin(struct work *work)
{
	return work->nvme ? work_nvme_begin(work->nvme) : NULL;
}

int work_one(struct work *work)
{
	if (work->nvme)
		return work_nvme_one(work->nvme);
	for (uint32_t i = 0; i < work->poke_count; i++) {
		const struct conform_poke *p = &work->pokes[i];

		if (work->device.write(work->device.arg, p->bar, p->offset, &p->value, p->size) < 0)
			return 0;
	}
	return 1;
}

void work_free(struct work *work)
{
	if (!work)
		return;
	work_nvme_free(work->nvme);
	free(work);
}
