// SPDX-License-Identifier: GPL-2.0

/*
 * Who has called into the pool, and in a tree, what pools are told to look for.
 */

#include <linux/kallsyms.h>
#include <linux/math64.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/sprintf.h>
#include <linux/stackdepot.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "dmapool_debug.h"

static unsigned int save_stack(unsigned long *entries, unsigned int size)
{
#ifdef CONFIG_STACKTRACE
	return stack_trace_save(entries, size, 1);
#else
	return 0;
#endif
}

void *rust_dmapool_caller(void)
{
	unsigned long entries[16];
	unsigned int count = save_stack(entries, ARRAY_SIZE(entries));

	return (void *)rust_dmapool_caller_in(entries, count);
}

#ifndef MODULE
struct rust_dmapool_parameters rust_dmapool_parameters = {
	.poison = IS_ENABLED(CONFIG_SLUB_DEBUG_ON),
};

module_param_named(poison, rust_dmapool_parameters.poison, bool, 0444);
module_param_named(track, rust_dmapool_parameters.track, bool, 0444);
module_param_named(redzone, rust_dmapool_parameters.redzone, uint, 0444);
module_param_named(quarantine, rust_dmapool_parameters.quarantine, uint, 0444);

/* By the name of a function. In Rust, kernel::dma::pool is part of it. */
static bool is_of_pool(const char *name)
{
	if (str_has_prefix(name, "_R"))
		return strstr(name, "3dma4pool");
	return strstr(name, "rust_dmapool_") || str_has_prefix(name, "dma_pool_") ||
	       str_has_prefix(name, "dmam_pool_");
}

/* The first address on the stack that is not the pool's own. */
unsigned long rust_dmapool_caller_in(const unsigned long *entries, unsigned int count)
{
	char name[KSYM_SYMBOL_LEN];
	unsigned int i;

	for (i = 0; i < count; i++) {
		sprint_symbol_no_offset(name, entries[i]);
		if (!is_of_pool(name))
			return entries[i];
	}
	return 0;
}
#endif

void rust_dmapool_note_owner(struct rust_dmapool_owner *owner, dma_addr_t dma, gfp_t flags)
{
	unsigned long entries[16];
	unsigned int count = save_stack(entries, ARRAY_SIZE(entries));

	owner->site = rust_dmapool_caller_in(entries, count);
	owner->when = local_clock();
	owner->dma = dma;
	owner->cpu = raw_smp_processor_id();
#ifdef CONFIG_STACKDEPOT
	/* Where no memory can be had, it may know the stack already. */
	owner->stack = stack_depot_save_flags(entries, count, flags,
					      !IS_ENABLED(CONFIG_PREEMPT_RT) || preemptible() ?
					      STACK_DEPOT_FLAG_CAN_ALLOC : 0);
#endif
}

size_t rust_dmapool_describe_owner(const struct rust_dmapool_owner *owner, char *text, size_t size)
{
	u32 rest;
	u64 seconds = div_u64_rem(owner->when, NSEC_PER_SEC, &rest);

	return scnprintf(text, size, "%pS at %llu.%06u on CPU %u", (void *)owner->site, seconds,
			 rest / 1000, owner->cpu);
}

void rust_dmapool_print_stack(u32 stack)
{
#ifdef CONFIG_STACKDEPOT
	if (stack)
		stack_depot_print(stack);
#endif
}

void rust_dmapool_init_stacks(void)
{
	/* Without memory for them, sites are still known. */
	stack_depot_init();
}
