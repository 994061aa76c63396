/* SPDX-License-Identifier: GPL-2.0 */

/*
 * What a branch with a static key is in assembly, as the kernel's own file of that name
 * has it for its crates: build directories of packaged headers are without that.
 */

#include <linux/jump_label.h>

// Cut here.

::kernel::concat_literals!(ARCH_STATIC_BRANCH_ASM("{symb} + {off} + {branch}", "{l_yes}"))
