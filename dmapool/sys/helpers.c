// SPDX-License-Identifier: GPL-2.0

/*
 * What Rust code cannot do by itself: static inlines that test static keys, and macros.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/preempt.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>

#include <asm/barrier.h>

#include "helpers.h"

bool rust_dmapool_want_init_on_alloc(void)
{
	return want_init_on_alloc(0);
}

bool rust_dmapool_want_init_on_free(void)
{
	return want_init_on_free();
}

bool rust_dmapool_may_sleep(void)
{
	return !in_interrupt() && !irqs_disabled() &&
	       (!IS_ENABLED(CONFIG_PREEMPT_COUNT) || preemptible());
}

/*
 * On PREEMPT_RT, allocating memory takes locks that sleep, whatever the flags say; see
 * "Memory allocation" in Documentation/core-api/real-time/differences.rst.
 */
bool rust_dmapool_may_grow(void)
{
	return !IS_ENABLED(CONFIG_PREEMPT_RT) || preemptible();
}

size_t rust_dmapool_total_memory(void)
{
	return totalram_pages() << PAGE_SHIFT;
}

bool rust_dmapool_node_online(int node)
{
	return node == NUMA_NO_NODE || (node >= 0 && node < MAX_NUMNODES && node_online(node));
}

/* For what a device, or a driver in C, may cause as often as it likes. */
bool rust_dmapool_report_ratelimit(void)
{
	static DEFINE_RATELIMIT_STATE(reports, 5 * HZ, 100);

	return __ratelimit(&reports);
}

void rust_dmapool_might_alloc(gfp_t gfp)
{
	might_alloc(gfp);
}

void rust_dmapool_mb_after_atomic(void)
{
	/* Where a full barrier follows a free, or blocks that were added. */
	smp_mb__after_atomic();
}

bool rust_dmapool_take_bit(unsigned long *words, unsigned long bit)
{
	return test_and_clear_bit(bit, words);
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

/* One more than the highest number of a CPU that is online. */
u32 rust_dmapool_cpus_online(void)
{
	return cpumask_last(cpu_online_mask) + 1;
}

#ifdef CONFIG_RUST_DMAPOOL_KUNIT_TEST
/* Which part of the soak test to run; 0 is a small one. See scripts/soak. */
unsigned long rust_dmapool_soak;
module_param_named(soak, rust_dmapool_soak, ulong, 0);

bool rust_dmapool_in_hardirq(void)
{
	return in_hardirq();
}

bool rust_dmapool_in_serving_softirq(void)
{
	return in_serving_softirq();
}
#endif
