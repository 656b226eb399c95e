/* SPDX-License-Identifier: BSD-3-Clause */
/* Ringing doorbells. See queue.h. */
#include "queue.h"

static int nvme_doorbell_write(struct nvme_queue *q, const struct nvme_doorbell *bell)
{
	q->rings++;
	if (!bell->mapped)
		return client_post_write32(q->client, bell->offset, bell->rung);
	/* Release: the entries were written before the tail that covers them. */
	__atomic_store_n(bell->mapped, bell->rung, __ATOMIC_RELEASE);
	return 0;
}

/* Stores @value in the shadow. */
static void nvme_doorbell_publish(const struct nvme_doorbell *bell, uint32_t value)
{
	__atomic_store_n(bell->shadow, value, __ATOMIC_RELEASE);
}

/* After the barrier: writes the register if the device asked for it, or if there is no shadow. */
static int nvme_doorbell_settle(struct nvme_queue *q, struct nvme_doorbell *bell, uint32_t value)
{
	uint32_t old = bell->rung;

	if (value == old)
		return 0;
	bell->rung = value;
	if (bell->shadow &&
	    !nvme_doorbell_wanted((uint16_t)__atomic_load_n(bell->event, __ATOMIC_RELAXED),
				  (uint16_t)value, (uint16_t)old))
		return 0;
	return nvme_doorbell_write(q, bell);
}

int nvme_queue_ring(struct nvme_queue *q)
{
	int r;

	if (q->sq_bell.shadow) {
		nvme_doorbell_publish(&q->cq_bell, q->cq_head);
		nvme_doorbell_publish(&q->sq_bell, q->sq_tail);
		/* Full barrier: see the head of queue.h. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	r = nvme_doorbell_settle(q, &q->cq_bell, q->cq_head);
	return r < 0 ? r : nvme_doorbell_settle(q, &q->sq_bell, q->sq_tail);
}
