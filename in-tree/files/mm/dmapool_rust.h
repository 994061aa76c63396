/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _MM_DMAPOOL_RUST_H
#define _MM_DMAPOOL_RUST_H

#include <linux/types.h>

struct device;
struct dma_pool;

/* For the files in Rust. */
int rust_dmapool_show_in_sysfs(struct dma_pool *pool, struct device *dev);
void rust_dmapool_hide_in_sysfs(struct dma_pool *pool);

extern unsigned long rust_dmapool_soak;

/* In these. */
const char *rust_dmapool_describe(struct dma_pool *pool, size_t numbers[4]);

#endif
