/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _RUST_DMAPOOL_REFILL_H
#define _RUST_DMAPOOL_REFILL_H

void *rust_dmapool_refill_new(void *pool);
void rust_dmapool_refill_queue(void *refill);
void rust_dmapool_refill_stop(void *refill);
void rust_dmapool_refill_free(void *refill);

/* In refill.rs. */
void rust_dmapool_refill(void *pool);

#endif
