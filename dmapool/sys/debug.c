// SPDX-License-Identifier: GPL-2.0

/*
 * What a pool can be told to look for, and who has called into this module.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/stackdepot.h>
#include <linux/stacktrace.h>

#include "helpers.h"

/* Here and not in module!, because those of Rust cannot be read in sysfs. */
struct rust_dmapool_parameters rust_dmapool_parameters;

module_param_named(poison, rust_dmapool_parameters.poison, bool, 0444);
MODULE_PARM_DESC(poison, "Fill free blocks with a value, and report who writes to them");
module_param_named(track, rust_dmapool_parameters.track, bool, 0444);
MODULE_PARM_DESC(track, "Know who has allocated each block, and report who has not freed them");
module_param_named(redzone, rust_dmapool_parameters.redzone, uint, 0444);
MODULE_PARM_DESC(redzone, "Bytes behind each block, reported if somebody has written to them");
module_param_named(quarantine, rust_dmapool_parameters.quarantine, uint, 0444);
MODULE_PARM_DESC(quarantine, "Blocks of each pool that wait after they were freed, the last ones");

/* Where this module was called from: the first address on the stack that is not its own. */
static unsigned long caller_of_module(const unsigned long *entries, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!within_module(entries[i], THIS_MODULE))
			return entries[i];
	return 0;
}

static unsigned int save_stack(unsigned long *entries, unsigned int size)
{
	return IS_ENABLED(CONFIG_STACKTRACE) ? stack_trace_save(entries, size, 1) : 0;
}

void *rust_dmapool_caller(void)
{
	unsigned long entries[16];
	unsigned int count = save_stack(entries, ARRAY_SIZE(entries));

	return (void *)caller_of_module(entries, count);
}

void rust_dmapool_note_owner(struct rust_dmapool_owner *owner, gfp_t flags)
{
	unsigned long entries[16];
	unsigned int count = save_stack(entries, ARRAY_SIZE(entries));

	owner->site = caller_of_module(entries, count);
	owner->when = local_clock();
	owner->cpu = raw_smp_processor_id();
#ifdef CONFIG_STACKDEPOT
	owner->stack = stack_depot_save_flags(entries, count, flags,
					      rust_dmapool_may_grow() ?
					      STACK_DEPOT_FLAG_CAN_ALLOC : 0);
#endif
}

size_t rust_dmapool_symbol(char *text, size_t size, unsigned long site)
{
	return scnprintf(text, size, "%pS", (void *)site);
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

/* function, of the interface for C, was given what is no pool of ours, or is none any more. */
void rust_dmapool_report_unusable(const char *function, bool destroyed)
{
	void *caller = rust_dmapool_caller();

	if (destroyed)
		pr_err("%s(): %pB passed a pool that was destroyed: nothing is done\n",
		       function, caller);
	else
		pr_err("%s(): %pB passed a pool that is not of this module, but of mm/dmapool.c or none: nothing is done. Drivers that share a pool must be moved together.\n",
		       function, caller);
}
