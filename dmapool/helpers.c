// SPDX-License-Identifier: GPL-2.0

/*
 * Static inlines that Rust code cannot call, because they test static keys.
 */

#include <linux/mm.h>

#include "helpers.h"

bool rust_dmapool_want_init_on_alloc(void)
{
	return want_init_on_alloc(0);
}

bool rust_dmapool_want_init_on_free(void)
{
	return want_init_on_free();
}
