// SPDX-License-Identifier: GPL-2.0
/*
 * A device with pools of both kinds, for as long as this is loaded: three
 * blocks of C's pool, five of two others with the same name.
 */
#include <linux/device/faux.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/module.h>
#include <linux/rust_dmapool.h>

static struct faux_device *faux;
static struct dma_pool *c, *rust[2];

static struct {
	void *v;
	dma_addr_t dma;
} c_blocks[3], rust_blocks[5];

static int __init both_init(void)
{
	static u64 mask = DMA_BIT_MASK(64);
	struct device *dev;
	int i;

	faux = faux_device_create("rust-dmapool-both", NULL, NULL);
	if (!faux)
		return -ENODEV;
	dev = &faux->dev;
	dev->dma_mask = &mask;
	dev->coherent_dma_mask = mask;

	rust[0] = rust_dma_pool_create("a/b", dev, 1024, 1024, 0);
	c = dma_pool_create("of C", dev, 64, 64, 0);
	/* Blocks of devres are destroyed with the device. */
	rust[1] = rust_dmam_pool_create("a/b", dev, 64, 64, 0);
	if (!c || !rust[0] || !rust[1])
		goto fail;

	for (i = 0; i < ARRAY_SIZE(c_blocks); i++)
		c_blocks[i].v = dma_pool_alloc(c, GFP_KERNEL, &c_blocks[i].dma);
	for (i = 0; i < ARRAY_SIZE(rust_blocks); i++)
		rust_blocks[i].v = rust_dma_pool_zalloc(rust[i % 2], GFP_KERNEL,
							&rust_blocks[i].dma);
	return 0;
fail:
	faux_device_destroy(faux);
	return -ENOMEM;
}

static void __exit both_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(c_blocks); i++)
		dma_pool_free(c, c_blocks[i].v, c_blocks[i].dma);
	for (i = 0; i < ARRAY_SIZE(rust_blocks); i++)
		rust_dma_pool_free(rust[i % 2], rust_blocks[i].v, rust_blocks[i].dma);
	dma_pool_destroy(c);
	rust_dma_pool_destroy(rust[0]);
	rust_dmam_pool_destroy(rust[1]);
	faux_device_destroy(faux);
}

module_init(both_init);
module_exit(both_exit);
MODULE_DESCRIPTION("Pools of C and of Rust on one device");
MODULE_LICENSE("GPL");
