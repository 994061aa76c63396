/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _RUST_DMAPOOL_MODULE_H
#define _RUST_DMAPOOL_MODULE_H

#include <linux/types.h>

/* For the files in Rust. */
void rust_dmapool_report_unusable(const char *function, bool destroyed);
void rust_dmapool_synchronize_module(void);

extern unsigned long rust_dmapool_soak;

#endif
