/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _RUST_DMAPOOL_HELPERS_H
#define _RUST_DMAPOOL_HELPERS_H

#include <linux/types.h>

bool rust_dmapool_want_init_on_alloc(void);
bool rust_dmapool_want_init_on_free(void);
bool rust_dmapool_want_poison(void);
bool rust_dmapool_may_sleep(void);
bool rust_dmapool_may_grow(void);
size_t rust_dmapool_total_memory(void);
bool rust_dmapool_node_online(int node);
bool rust_dmapool_report_ratelimit(void);
void rust_dmapool_report_unusable(const char *function, bool destroyed);
void rust_dmapool_might_alloc(gfp_t gfp);
void rust_dmapool_mb_after_atomic(void);
bool rust_dmapool_take_bit(unsigned long *words, unsigned long bit);
void rust_dmapool_synchronize_module(void);

u32 rust_dmapool_cpus_online(void);

extern unsigned long rust_dmapool_soak;
bool rust_dmapool_in_hardirq(void);
bool rust_dmapool_in_serving_softirq(void);

#endif
