/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _RUST_DMAPOOL_REFILL_WORK_H
#define _RUST_DMAPOOL_REFILL_WORK_H

struct refill_work;

struct refill_work *rust_dmapool_refill_work_new(void);
void rust_dmapool_refill_work_queue(struct refill_work *refill_work, void *pool);
void rust_dmapool_refill_work_stop(struct refill_work *refill_work);
void rust_dmapool_refill_work_free(struct refill_work *refill_work);

/* In refill.rs. */
void rust_dmapool_refill(void *pool);

#endif
