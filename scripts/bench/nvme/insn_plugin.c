// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin for QEMU: whenever the guest marks a point, say how many instructions it has executed
 * since the last one. An idle CPU executes none.
 */

#include <stdio.h>
#include <string.h>

#include "qemu_plugin.h"

__attribute__((visibility("default"))) int qemu_plugin_version = 4;

/* xchg %bx,%bx, which nothing but scripts/qemu/modules/mark.c executes. */
static const unsigned char mark[] = { 0x66, 0x87, 0xdb };

static struct qemu_plugin_u64 executed;
static unsigned long before;

static void on_mark(unsigned int cpu, void *data)
{
	unsigned long now = qemu_plugin_u64_sum(executed);
	char line[64];

	snprintf(line, sizeof(line), "instructions: %lu\n", now - before);
	qemu_plugin_outs(line);
	before = now;
}

static void on_translation(unsigned long id, struct qemu_plugin_tb *tb)
{
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned char bytes[sizeof(mark) + 1];

		qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn,
								    QEMU_PLUGIN_INLINE_ADD_U64,
								    executed, 1);
		if (qemu_plugin_insn_data(insn, bytes, sizeof(bytes)) == sizeof(mark) &&
		    !memcmp(bytes, mark, sizeof(mark)))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
	}
}

__attribute__((visibility("default"))) int qemu_plugin_install(unsigned long id, const void *info,
							       int argc, char **argv)
{
	executed.score = qemu_plugin_scoreboard_new(sizeof(unsigned long));
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return 0;
}
