// SPDX-License-Identifier: GPL-2.0
/*
 * Marks a point for scripts/bench/nvme/insn_plugin.c when something is written to
 * /sys/module/mark/parameters/mark.
 */

#include <linux/module.h>
#include <linux/moduleparam.h>

static int set_mark(const char *val, const struct kernel_param *kp)
{
	asm volatile(".byte 0x66, 0x87, 0xdb" : : : "memory");
	return 0;
}

static const struct kernel_param_ops mark_ops = { .set = set_mark };

module_param_cb(mark, &mark_ops, NULL, 0200);
MODULE_PARM_DESC(mark, "Written to, to mark a point");

MODULE_DESCRIPTION("Marks a point for a plugin of QEMU");
MODULE_LICENSE("GPL");
