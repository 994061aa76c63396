/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _RUST_DMAPOOL_HELPERS_H
#define _RUST_DMAPOOL_HELPERS_H

#include <linux/types.h>

/* dmapool/allocator/init.rs */
struct rust_dmapool_parameters {
	bool poison;
	bool track;
	unsigned int redzone;
	unsigned int quarantine;
};

extern struct rust_dmapool_parameters rust_dmapool_parameters;

/* dmapool/allocator/track.rs */
struct rust_dmapool_owner {
	unsigned long site;
	u64 when;
	u32 stack;
	u32 cpu;
};

bool rust_dmapool_want_init_on_alloc(void);
bool rust_dmapool_want_init_on_free(void);
bool rust_dmapool_may_sleep(void);
bool rust_dmapool_may_grow(void);
size_t rust_dmapool_total_memory(void);
bool rust_dmapool_node_online(int node);
bool rust_dmapool_report_ratelimit(void);
void *rust_dmapool_caller(void);
void rust_dmapool_report_unusable(const char *function, bool destroyed);
void rust_dmapool_note_owner(struct rust_dmapool_owner *owner, gfp_t flags);
size_t rust_dmapool_symbol(char *text, size_t size, unsigned long site);
void rust_dmapool_print_stack(u32 stack);
void rust_dmapool_init_stacks(void);
void rust_dmapool_might_alloc(gfp_t gfp);
void rust_dmapool_mb_after_atomic(void);
bool rust_dmapool_take_bit(unsigned long *words, unsigned long bit);
void rust_dmapool_synchronize_module(void);

u32 rust_dmapool_cpus_online(void);

extern unsigned long rust_dmapool_soak;
bool rust_dmapool_in_hardirq(void);
bool rust_dmapool_in_serving_softirq(void);

#endif
