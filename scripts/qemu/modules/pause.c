// SPDX-License-Identifier: GPL-2.0
/*
 * Holds up whoever loads a module, as if by being preempted, until that is switched off: before
 * there is anything of it in /sys/module, or when there is but its links in there are missing.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

static char *before = "";
module_param(before, charp, 0444);
MODULE_PARM_DESC(before, "module to be held up before it is in /sys/module");

static char *within = "";
module_param(within, charp, 0444);
MODULE_PARM_DESC(within, "module to be held up while it is being put there");

static bool hold = true;
module_param(hold, bool, 0644);
MODULE_PARM_DESC(hold, "whether to go on doing so");

static bool held;
module_param(held, bool, 0444);
MODULE_PARM_DESC(held, "whether somebody has been held up");

static int on_coming(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *module = data;

	if (state != MODULE_STATE_COMING || strcmp(module->name, before))
		return NOTIFY_DONE;
	WRITE_ONCE(held, true);
	while (READ_ONCE(hold))
		msleep(20);
	return NOTIFY_DONE;
}

static struct notifier_block notifier = { .notifier_call = on_coming };

/* It is called between the module's directory and its links, and must not sleep here. */
static int on_parameters(struct kprobe *probe, struct pt_regs *regs)
{
	struct module *module = (struct module *)regs_get_kernel_argument(regs, 0);

	if (strcmp(module->name, within))
		return 0;
	WRITE_ONCE(held, true);
	while (READ_ONCE(hold))
		cpu_relax();
	return 0;
}

static struct kprobe probe = {
	.symbol_name = "module_param_sysfs_setup",
	.pre_handler = on_parameters,
};

static int __init pause_init(void)
{
	int err = register_kprobe(&probe);

	if (err)
		return err;
	err = register_module_notifier(&notifier);
	if (err)
		unregister_kprobe(&probe);
	return err;
}

static void __exit pause_exit(void)
{
	unregister_module_notifier(&notifier);
	unregister_kprobe(&probe);
}

module_init(pause_init);
module_exit(pause_exit);

MODULE_DESCRIPTION("Holds up whoever loads a module");
MODULE_LICENSE("GPL");
