/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DMAPOOL_DEBUG_H
#define _DMAPOOL_DEBUG_H

#include <linux/types.h>

/* What pools are told to look for; as in allocator/policy.rs. */
struct rust_dmapool_parameters {
	bool poison;
	bool track;
	unsigned int redzone;
	unsigned int quarantine;
};

/* Who has allocated a block; as in allocator/owner.rs. */
struct rust_dmapool_owner {
	unsigned long site;
	u64 when;
	u64 dma;
	u32 stack;
	u32 cpu;
};

/* For the files in Rust. */
void rust_dmapool_note_owner(struct rust_dmapool_owner *owner, dma_addr_t dma, gfp_t flags);
size_t rust_dmapool_describe_owner(const struct rust_dmapool_owner *owner, char *text, size_t size);
void rust_dmapool_print_stack(u32 stack);
void rust_dmapool_init_stacks(void);

void *rust_dmapool_caller(void);

/* Of the module, or of the tree. */
extern struct rust_dmapool_parameters rust_dmapool_parameters;
unsigned long rust_dmapool_caller_in(const unsigned long *entries, unsigned int count);

#endif
