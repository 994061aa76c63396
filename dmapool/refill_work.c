// SPDX-License-Identifier: GPL-2.0

/*
 * The work item that fills a pool's reserve. Those of the kernel crate own what
 * they work on, or are owned by it for as long as they run; this one must end
 * before its pool does.
 */

#include <linux/slab.h>
#include <linux/workqueue.h>

#include "refill_work.h"

struct refill_work {
	struct work_struct work;
	void *pool;
};

static void refill(struct work_struct *work)
{
	rust_dmapool_refill(READ_ONCE(container_of(work, struct refill_work, work)->pool));
}

struct refill_work *rust_dmapool_refill_work_new(void)
{
	struct refill_work *refill_work = kzalloc(sizeof(*refill_work), GFP_KERNEL);

	if (refill_work)
		INIT_WORK(&refill_work->work, refill);
	return refill_work;
}

/*
 * The work may wait for memory, and so for a driver that waits for this pool. This
 * cannot deadlock: what the driver frees fills the reserve without any work item.
 *
 * The pool is the same each time.
 */
void rust_dmapool_refill_work_queue(struct refill_work *refill_work, void *pool)
{
	WRITE_ONCE(refill_work->pool, pool);
	queue_work(system_dfl_wq, &refill_work->work);
}

/* It does not run after this, whoever queues it. */
void rust_dmapool_refill_work_stop(struct refill_work *refill_work)
{
	disable_work_sync(&refill_work->work);
}

void rust_dmapool_refill_work_free(struct refill_work *refill_work)
{
	rust_dmapool_refill_work_stop(refill_work);
	kfree(refill_work);
}
