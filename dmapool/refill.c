// SPDX-License-Identifier: GPL-2.0

/*
 * The work item that fills a pool's reserve. Those of the kernel crate own what
 * they work on, or have it own them; this one must end before its pool does.
 */

#include <linux/slab.h>
#include <linux/workqueue.h>

#include "refill.h"

struct refill {
	struct work_struct work;
	void *pool;
};

static void refill_work(struct work_struct *work)
{
	rust_dmapool_refill(container_of(work, struct refill, work)->pool);
}

void *rust_dmapool_refill_new(void *pool)
{
	struct refill *refill = kzalloc(sizeof(*refill), GFP_KERNEL);

	if (refill) {
		INIT_WORK(&refill->work, refill_work);
		refill->pool = pool;
	}
	return refill;
}

/*
 * It may wait for memory, and so for a driver that waits for this pool. That is
 * no circle: what the driver frees fills the reserve without any work item.
 */
void rust_dmapool_refill_queue(void *refill)
{
	queue_work(system_dfl_wq, &((struct refill *)refill)->work);
}

/* It does not run after this, whoever queues it. */
void rust_dmapool_refill_stop(void *refill)
{
	disable_work_sync(&((struct refill *)refill)->work);
}

void rust_dmapool_refill_free(void *refill)
{
	rust_dmapool_refill_stop(refill);
	kfree(refill);
}
