// SPDX-License-Identifier: GPL-2.0
/*
 * A driver with many pools of C's or, if rust=1, of this module, each of which has
 * one block allocated: what does such a pool take?
 */
#include <linux/device/faux.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/module.h>
#include <linux/rust_dmapool.h>

#define POOLS 1000

static bool rust;
module_param(rust, bool, 0444);

static struct faux_device *faux;

static struct {
	struct dma_pool *pool;
	void *v;
	dma_addr_t dma;
} pools[POOLS];

static void few_blocks_exit(void)
{
	for (int i = 0; i < POOLS; i++) {
		if (pools[i].v && rust)
			rust_dma_pool_free(pools[i].pool, pools[i].v, pools[i].dma);
		else if (pools[i].v)
			dma_pool_free(pools[i].pool, pools[i].v, pools[i].dma);
		if (rust)
			rust_dma_pool_destroy(pools[i].pool);
		else
			dma_pool_destroy(pools[i].pool);
	}
	faux_device_destroy(faux);
}

static int __init few_blocks_init(void)
{
	static u64 mask = DMA_BIT_MASK(64);
	struct device *dev;

	faux = faux_device_create("few-blocks", NULL, NULL);
	if (!faux)
		return -ENODEV;
	dev = &faux->dev;
	dev->dma_mask = &mask;
	dev->coherent_dma_mask = mask;

	for (int i = 0; i < POOLS; i++) {
		if (rust) {
			pools[i].pool = rust_dma_pool_create("few", dev, 64, 64, 0);
			pools[i].v = rust_dma_pool_alloc(pools[i].pool, GFP_KERNEL, &pools[i].dma);
		} else {
			pools[i].pool = dma_pool_create("few", dev, 64, 64, 0);
			pools[i].v = dma_pool_alloc(pools[i].pool, GFP_KERNEL, &pools[i].dma);
		}
		if (!pools[i].v) {
			few_blocks_exit();
			return -ENOMEM;
		}
	}
	return 0;
}

module_init(few_blocks_init);
module_exit(few_blocks_exit);
MODULE_DESCRIPTION("Many pools with few blocks");
MODULE_LICENSE("GPL");
