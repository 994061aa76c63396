// SPDX-License-Identifier: GPL-2.0

/*
 * What only a module needs of C: parameters, and who its callers are.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>

#include "../sys/dmapool_debug.h"
#include "module.h"

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
unsigned long rust_dmapool_caller_in(const unsigned long *entries, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!within_module(entries[i], THIS_MODULE))
			return entries[i];
	return 0;
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

/*
 * Waits until each task has gone to sleep or to user space of its own accord, or
 * is idle: what a task was doing when it dropped a reference to this module is
 * done then, even if it was preempted right after that. The function may be a
 * macro.
 */
void rust_dmapool_synchronize_module(void)
{
	synchronize_rcu_tasks();
}

#ifdef CONFIG_RUST_DMAPOOL_KUNIT_TEST
/* Which part of the soak test to run; 0 is a small one. See scripts/soak. */
unsigned long rust_dmapool_soak;
module_param_named(soak, rust_dmapool_soak, ulong, 0);
#endif
