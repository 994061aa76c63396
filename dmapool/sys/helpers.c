// SPDX-License-Identifier: GPL-2.0

/*
 * What Rust code cannot do by itself: static inlines that test static keys, and macros.
 */

#include <linux/bitops.h>
#include <linux/cpumask.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/preempt.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>

#include <asm/barrier.h>

__rust_helper bool rust_dmapool_want_init_on_alloc(void)
{
	return want_init_on_alloc(0);
}

__rust_helper bool rust_dmapool_want_init_on_free(void)
{
	return want_init_on_free();
}

__rust_helper bool rust_dmapool_may_sleep(void)
{
	return !in_interrupt() && !irqs_disabled() &&
	       (!IS_ENABLED(CONFIG_PREEMPT_COUNT) || preemptible());
}

/*
 * On PREEMPT_RT, allocating memory takes locks that sleep, whatever the flags say; see
 * "Memory allocation" in Documentation/core-api/real-time/differences.rst.
 */
__rust_helper bool rust_dmapool_may_grow(void)
{
	return !IS_ENABLED(CONFIG_PREEMPT_RT) || preemptible();
}

__rust_helper size_t rust_dmapool_total_memory(void)
{
	return totalram_pages() << PAGE_SHIFT;
}

__rust_helper bool rust_dmapool_node_online(int node)
{
	return node == NUMA_NO_NODE || (node >= 0 && node < MAX_NUMNODES && node_online(node));
}

/* For what a device, or a driver in C, may cause as often as it likes. */
__rust_helper bool rust_dmapool_report_ratelimit(void)
{
	static DEFINE_RATELIMIT_STATE(reports, 5 * HZ, 100);

	return __ratelimit(&reports);
}

__rust_helper void rust_dmapool_might_alloc(gfp_t gfp)
{
	might_alloc(gfp);
}

__rust_helper void rust_dmapool_mb_after_atomic(void)
{
	/* Where a full barrier follows a free, or blocks that were added. */
	smp_mb__after_atomic();
}

__rust_helper bool rust_dmapool_take_bit(unsigned long *words, unsigned long bit)
{
	return test_and_clear_bit(bit, words);
}

#ifdef MODULE
/* Allocating is compiled into the users of this module. */
EXPORT_SYMBOL_GPL(rust_dmapool_take_bit);
#endif

/* One more than the highest number of a CPU that is online. */
__rust_helper u32 rust_dmapool_cpus_online(void)
{
	return cpumask_last(cpu_online_mask) + 1;
}

#ifdef CONFIG_RUST_DMAPOOL_KUNIT_TEST
__rust_helper bool rust_dmapool_in_hardirq(void)
{
	return in_hardirq();
}

__rust_helper bool rust_dmapool_in_serving_softirq(void)
{
	return in_serving_softirq();
}
#endif
