// SPDX-License-Identifier: GPL-2.0
/*
 * Holds threads where they call a function, as if they were preempted there for long.
 *
 * /sys/module/hold/parameters/arm: write "POINT FUNCTION CALLER [MILLISECONDS]", and the next
 * thread that calls FUNCTION (one of C, with up to six words as arguments) from a function with
 * CALLER in its name is held before it gets there; for so long, if that is where it cannot sleep.
 * POINT is 0 or 1. held: which points have caught a thread that was not released, as a word of
 * bits. release: write a point, and its thread goes on.
 *
 * Probes must not be optimized (/proc/sys/debug/kprobes-optimization): these go where they will.
 */

#include <linux/delay.h>
#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>

struct point {
	struct kprobe probe;
	char function[64];
	char caller[64];
	unsigned int limit;
	atomic_t armed;
	bool held;
	bool released;
};

static struct point points[2];

/* In the thread that is held, where it was. It sleeps where it may. */
static void hold(struct point *point)
{
	unsigned int left = point->limit;

	WRITE_ONCE(point->held, true);
	while (!READ_ONCE(point->released) && left--) {
		if (preemptible() && !rcu_preempt_depth())
			msleep(20);
		else
			mdelay(1);
	}
	if (point->released)
		WRITE_ONCE(point->held, false);
}

static unsigned long go_on(struct point *point, unsigned long a, unsigned long b, unsigned long c,
			   unsigned long d, unsigned long e, unsigned long f)
{
	unsigned long (*function)(unsigned long a, unsigned long b, unsigned long c,
				  unsigned long d, unsigned long e, unsigned long f) =
		(void *)point->probe.addr;

	hold(point);
	return function(a, b, c, d, e, f);
}

static unsigned long detour0(unsigned long a, unsigned long b, unsigned long c,
			     unsigned long d, unsigned long e, unsigned long f)
{
	return go_on(&points[0], a, b, c, d, e, f);
}

static unsigned long detour1(unsigned long a, unsigned long b, unsigned long c,
			     unsigned long d, unsigned long e, unsigned long f)
{
	return go_on(&points[1], a, b, c, d, e, f);
}

static int detour(struct kprobe *probe, struct pt_regs *regs)
{
	struct point *point = container_of(probe, struct point, probe);
	char symbol[KSYM_SYMBOL_LEN];

	if (!atomic_read(&point->armed))
		return 0;
	sprint_symbol(symbol, *(unsigned long *)kernel_stack_pointer(regs));
	if (!strstr(symbol, point->caller) || atomic_cmpxchg(&point->armed, 1, 0) != 1)
		return 0;
	instruction_pointer_set(regs, (unsigned long)(point == points ? detour0 : detour1));
	return 1;
}

static struct point *point_at(unsigned int index)
{
	return index < ARRAY_SIZE(points) ? &points[index] : NULL;
}

static int set_arm(const char *val, const struct kernel_param *kp)
{
	char function[64], caller[64];
	struct point *point;
	unsigned int index, limit = UINT_MAX;
	int ret;

	if (sscanf(val, "%u %63s %63s %u", &index, function, caller, &limit) < 3)
		return -EINVAL;
	point = point_at(index);
	if (!point)
		return -EINVAL;
	if (point->probe.pre_handler)
		unregister_kprobe(&point->probe);

	memset(&point->probe, 0, sizeof(point->probe));
	strscpy(point->function, function);
	strscpy(point->caller, caller);
	point->limit = limit;
	point->held = false;
	point->released = false;
	atomic_set(&point->armed, 1);
	point->probe.symbol_name = point->function;
	point->probe.pre_handler = detour;
	ret = register_kprobe(&point->probe);
	if (ret)
		point->probe.pre_handler = NULL;
	return ret;
}

static int set_release(const char *val, const struct kernel_param *kp)
{
	struct point *point;
	unsigned int index;

	if (kstrtouint(val, 0, &index))
		return -EINVAL;
	point = point_at(index);
	if (!point)
		return -EINVAL;
	atomic_set(&point->armed, 0);
	WRITE_ONCE(point->released, true);
	return 0;
}

static int get_held(char *buffer, const struct kernel_param *kp)
{
	unsigned int held = 0, i;

	for (i = 0; i < ARRAY_SIZE(points); i++)
		held |= READ_ONCE(points[i].held) << i;
	return sysfs_emit(buffer, "%u\n", held);
}

static const struct kernel_param_ops arm_ops = { .set = set_arm };
static const struct kernel_param_ops release_ops = { .set = set_release };
static const struct kernel_param_ops held_ops = { .get = get_held };

module_param_cb(arm, &arm_ops, NULL, 0200);
MODULE_PARM_DESC(arm, "Where to hold a thread: point, function, caller");
module_param_cb(release, &release_ops, NULL, 0200);
MODULE_PARM_DESC(release, "Written to with a point, to let its thread go on");
module_param_cb(held, &held_ops, NULL, 0400);
MODULE_PARM_DESC(held, "Which points hold a thread, one bit each");

static int __init hold_init(void)
{
	return 0;
}

static void __exit hold_exit(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(points); i++) {
		if (points[i].probe.pre_handler)
			unregister_kprobe(&points[i].probe);
	}
}

module_init(hold_init);
module_exit(hold_exit);

MODULE_DESCRIPTION("Holds threads where they call a function");
MODULE_LICENSE("GPL");
