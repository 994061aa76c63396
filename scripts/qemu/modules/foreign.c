// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of a pool of C, or of one that is destroyed, that is given to
 * rust_dmapool: as by a driver that was moved without another one that it shares
 * pools with.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device/faux.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/module.h>
#include <linux/poison.h>
#include <linux/rust_dmapool.h>

#define SIZE 64

static char *to_c;
module_param(to_c, charp, 0);
MODULE_PARM_DESC(to_c, "Function of C to give a pool of rust_dmapool to, and nothing else");

static struct faux_device *faux;

/* Returns whether all of this came to nothing. */
static bool give_to_rust(struct dma_pool *pool, void *v, dma_addr_t dma)
{
	dma_addr_t other = 0x42;

	if (rust_dma_pool_alloc(pool, GFP_KERNEL, &other) || other != 0x42)
		return false;
	rust_dma_pool_free(pool, v, dma);
	rust_dma_pool_destroy(pool);
	rust_dmam_pool_destroy(pool);
	return true;
}

static int foreign_to_rust(struct device *dev)
{
	struct dma_pool *c = dma_pool_create("of C", dev, SIZE, SIZE, 0);
	dma_addr_t dma, other_dma;
	void *v, *other;
	int i;

	v = c ? dma_pool_zalloc(c, GFP_KERNEL, &dma) : NULL;
	if (!v)
		return -ENOMEM;
	/* Twice: it is said once. */
	for (i = 0; i < 2; i++)
		if (!give_to_rust(c, v, dma))
			return -EIO;

	/* C's pool is as it was. */
	other = dma_pool_alloc(c, GFP_KERNEL, &other_dma);
	if (!other || other == v || memchr_inv(v, 0, SIZE))
		return -EIO;
	dma_pool_free(c, other, other_dma);
	dma_pool_free(c, v, dma);
	dma_pool_destroy(c);
	return 0;
}

/* Its memory is free by then, but most likely nobody else's yet. */
static int destroyed_to_rust(struct device *dev)
{
	struct dma_pool *pool = rust_dma_pool_create("destroyed", dev, SIZE, SIZE, 0);

	if (!pool)
		return -ENOMEM;
	rust_dma_pool_destroy(pool);
	return give_to_rust(pool, NULL, 0) ? 0 : -EIO;
}

/* With slub_debug=P, that memory is full of this. */
static int poison_to_rust(void)
{
	static u8 poison[PAGE_SIZE];

	memset(poison, POISON_FREE, sizeof(poison));
	if (!give_to_rust((struct dma_pool *)poison, NULL, 0))
		return -EIO;
	return memchr_inv(poison, POISON_FREE, sizeof(poison)) ? -EIO : 0;
}

/* For the record: C looks at nothing. */
static int ours_to_c(struct device *dev)
{
	struct dma_pool *pool = rust_dma_pool_create("ours", dev, SIZE, SIZE, 0);
	dma_addr_t dma = 0;
	void *v = pool ? rust_dma_pool_alloc(pool, GFP_KERNEL, &dma) : NULL;

	if (!v)
		return -ENOMEM;
	if (!strcmp(to_c, "alloc"))
		pr_info("dma_pool_alloc() returned %p\n", dma_pool_alloc(pool, GFP_KERNEL, &dma));
	else if (!strcmp(to_c, "free"))
		dma_pool_free(pool, v, dma);
	else
		dma_pool_destroy(pool);
	pr_info("dma_pool_%s() returned\n", to_c);
	v = rust_dma_pool_alloc(pool, GFP_KERNEL, &dma);
	pr_info("a block is at %p/%pad\n", v, &dma);
	rust_dma_pool_free(pool, v, dma);
	rust_dma_pool_destroy(pool);
	pr_info("the pool was destroyed\n");
	return 0;
}

static int __init foreign_init(void)
{
	static u64 mask = DMA_BIT_MASK(64);
	int err;

	faux = faux_device_create("rust-dmapool-foreign", NULL, NULL);
	if (!faux)
		return -ENODEV;
	faux->dev.dma_mask = &mask;
	faux->dev.coherent_dma_mask = mask;

	if (to_c)
		err = ours_to_c(&faux->dev);
	else
		err = foreign_to_rust(&faux->dev) ?: destroyed_to_rust(&faux->dev) ?:
		      poison_to_rust();
	if (err)
		faux_device_destroy(faux);
	return err;
}

static void __exit foreign_exit(void)
{
	faux_device_destroy(faux);
}

module_init(foreign_init);
module_exit(foreign_exit);
MODULE_DESCRIPTION("Pools of somebody else's");
MODULE_LICENSE("GPL");
