// SPDX-License-Identifier: GPL-2.0
/*
 * Has functions of the kernel fail, as if there was no memory, or a device could not do something.
 *
 * functions: names, and what they return then. caller: what is in the name of whoever calls them.
 * left: so many of these calls fail, after so many (pass) that do not. Both count down.
 */

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/spinlock.h>
#include <linux/string.h>

static char *functions;
module_param(functions, charp, 0400);
MODULE_PARM_DESC(functions, "NAME=VALUE,...: what returns which value if it is refused");

static char caller[32];
module_param_string(caller, caller, sizeof(caller), 0600);
MODULE_PARM_DESC(caller, "Only if the name of who calls has this");

static unsigned int pass;
module_param(pass, uint, 0600);
MODULE_PARM_DESC(pass, "How many calls are not refused");

static unsigned int left;
module_param(left, uint, 0600);
MODULE_PARM_DESC(left, "How many calls are refused then");

struct point {
	struct kprobe probe;
	long value;
};

static struct point points[16];
static unsigned int count;
static DEFINE_RAW_SPINLOCK(lock);

/* In place of the function. What it returns was put there. */
static noinline void refuse(void)
{
}

static bool is_refused(void)
{
	guard(raw_spinlock_irqsave)(&lock);
	if (!left)
		return false;
	if (pass) {
		pass--;
		return false;
	}
	left--;
	return true;
}

static int enter(struct kprobe *probe, struct pt_regs *regs)
{
	char symbol[KSYM_SYMBOL_LEN];

	if (!READ_ONCE(left))
		return 0;
	sprint_symbol(symbol, *(unsigned long *)kernel_stack_pointer(regs));
	if (!strstr(symbol, caller) || !is_refused())
		return 0;
	regs_set_return_value(regs, container_of(probe, struct point, probe)->value);
	instruction_pointer_set(regs, (unsigned long)refuse);
	return 1;
}

static void remove_all(void)
{
	while (count)
		unregister_kprobe(&points[--count].probe);
}

static int add(char *what)
{
	struct point *point = &points[count];
	char *name = strsep(&what, "=");
	int ret;

	if (count == ARRAY_SIZE(points) || !what || kstrtol(what, 0, &point->value))
		return -EINVAL;
	point->probe.symbol_name = name;
	point->probe.pre_handler = enter;
	ret = register_kprobe(&point->probe);
	if (ret)
		pr_err("%s: %d\n", name, ret);
	else
		count++;
	return ret;
}

static int __init refuse_init(void)
{
	char *name;
	int ret = 0;

	while (!ret && (name = strsep(&functions, ",")))
		ret = add(name);
	if (ret)
		remove_all();
	return ret;
}

static void __exit refuse_exit(void)
{
	remove_all();
}

module_init(refuse_init);
module_exit(refuse_exit);

MODULE_DESCRIPTION("Has functions fail");
MODULE_LICENSE("GPL");
