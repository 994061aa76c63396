// SPDX-License-Identifier: GPL-2.0
/*
 * Every misuse of a DMA pool that can be thought of, and what comes of it.
 *
 * Compiled twice: as it is for the kernel's own pool, and with
 * RUST_DMAPOOL_REPLACE for the other one, which has to come out intact.
 *
 * For each misuse the log has a line "NAME expects: TEXT", then what the pool
 * says, then "NAME: " with the outcome.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device/faux.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/module.h>
#include <linux/poison.h>
#include <linux/slab.h>

#define SIZE 64
/* More than a page of blocks. */
#define BLOCKS 200

static bool poisoned;
module_param(poisoned, bool, 0);
MODULE_PARM_DESC(poisoned, "Whether the pools fill free blocks, and look at them");

static char *only;
module_param(only, charp, 0);
MODULE_PARM_DESC(only, "Name of the only misuse to commit");

struct block {
	u8 *v;
	dma_addr_t dma;
};

struct fixture {
	struct device *dev;
	struct dma_pool *pool;
	/* Allocated, and full of their own numbers. */
	struct block a, b;
};

/* Memory of no pool. */
static u8 elsewhere[SIZE] __aligned(SIZE);

static bool get(struct dma_pool *pool, struct block *block, u8 number)
{
	block->v = dma_pool_alloc(pool, GFP_KERNEL, &block->dma);
	if (block->v)
		memset(block->v, number, SIZE);
	return block->v;
}

static void put(struct dma_pool *pool, struct block *block)
{
	dma_pool_free(pool, block->v, block->dma);
}

static bool intact(struct block *block, u8 number)
{
	return !memchr_inv(block->v, number, SIZE);
}

/* Whether the pool hands out blocks as it should. */
static const char *audit(struct fixture *f)
{
	static struct block blocks[BLOCKS];
	const char *bad = NULL;
	int i;

	for (i = 0; i < BLOCKS; i++)
		if (!get(f->pool, &blocks[i], i))
			return "CORRUPTED: no memory";
	for (i = 0; i < BLOCKS; i++) {
		if (blocks[i].v == f->a.v || blocks[i].v == f->b.v)
			bad = "CORRUPTED: an allocated block was handed out again";
		else if (blocks[i].v == elsewhere)
			bad = "CORRUPTED: memory of others was handed out";
		else if (!intact(&blocks[i], i))
			bad = "CORRUPTED: a block was handed out twice";
		else if (!IS_ALIGNED(blocks[i].dma, SIZE) ||
			 !IS_ALIGNED((unsigned long)blocks[i].v, SIZE))
			bad = "CORRUPTED: a block is not aligned";
		if (bad)
			return bad;
	}
	if (!intact(&f->a, 0xaa) || !intact(&f->b, 0xbb))
		return "CORRUPTED: the contents of a block were overwritten";
	for (i = 0; i < BLOCKS; i++)
		put(f->pool, &blocks[i]);
	return NULL;
}

static void free_foreign(struct fixture *f)
{
	dma_pool_free(f->pool, elsewhere, 0x1000);
}

static void free_of_another_pool(struct fixture *f)
{
	struct dma_pool *other = dma_pool_create("other", f->dev, SIZE, SIZE, 0);
	struct block block;

	if (!other || !get(other, &block, 0xcc))
		return;
	dma_pool_free(f->pool, block.v, block.dma);
	put(other, &block);
	dma_pool_destroy(other);
}

static void free_inside(struct fixture *f)
{
	dma_pool_free(f->pool, f->a.v + 16, f->a.dma + 16);
}

static void free_with_the_handle_of_another(struct fixture *f)
{
	dma_pool_free(f->pool, f->a.v, f->b.dma);
}

static void free_with_a_wrong_handle(struct fixture *f)
{
	dma_pool_free(f->pool, f->a.v, 0x1000);
}

static void free_with_a_wrong_address(struct fixture *f)
{
	dma_pool_free(f->pool, f->b.v, f->a.dma);
}

static void free_null(struct fixture *f)
{
	dma_pool_free(f->pool, NULL, 0);
}

static void free_twice(struct fixture *f)
{
	struct block block;

	if (!get(f->pool, &block, 0xcc))
		return;
	put(f->pool, &block);
	put(f->pool, &block);
}

static const struct {
	const char *name;
	void (*commit)(struct fixture *f);
	const char *message;
} frees[] = {
	{ "free_foreign", free_foreign, "not of this pool" },
	{ "free_of_another_pool", free_of_another_pool, "not of this pool" },
	{ "free_inside", free_inside, "no block begins there" },
	{ "free_with_the_handle_of_another", free_with_the_handle_of_another,
	  "the DMA address is not that of the address" },
	{ "free_with_a_wrong_handle", free_with_a_wrong_handle, "not of this pool" },
	{ "free_with_a_wrong_address", free_with_a_wrong_address,
	  "the DMA address is not that of the address" },
	{ "free_null", free_null, "not of this pool" },
	{ "free_twice", free_twice, "already free" },
};

/* All of these are to return NULL. */
static const struct {
	const char *name;
	size_t size, align, boundary;
	const char *message;
} creates[] = {
	{ "create_of_size_0", 0, 0, 0, "pool create_of_size_0: size 0 is not in" },
	{ "create_too_large", (size_t)INT_MAX + 1, 0, 0,
	  "pool create_too_large: size 2147483648 is not in" },
	{ "create_odd_align", 64, 48, 0, "pool create_odd_align: align 48 is not a power of two" },
	{ "create_odd_boundary", 64, 64, 3000,
	  "pool create_odd_boundary: boundary 3000 is not a power of two" },
	{ "create_boundary_below_size", 128, 64, 64,
	  "pool create_boundary_below_size: boundary 64 is less than a block's 128 bytes" },
};

static bool skipped(const char *name)
{
	return only && strcmp(only, name);
}

static int outcome(const char *name, const char *bad)
{
	pr_info("%s: %s\n", name, bad ?: "intact");
	return bad ? -EIO : 0;
}

static int misuse_free(struct device *dev, int i)
{
	struct fixture f = { .dev = dev };
	const char *bad;

	f.pool = dma_pool_create(frees[i].name, dev, SIZE, SIZE, 0);
	if (!f.pool || !get(f.pool, &f.a, 0xaa) || !get(f.pool, &f.b, 0xbb))
		return -ENOMEM;
	pr_info("%s expects: %s\n", frees[i].name, frees[i].message);
	frees[i].commit(&f);
	bad = audit(&f);
	/* A pool that is broken had better not be touched again. */
	if (!bad) {
		put(f.pool, &f.a);
		put(f.pool, &f.b);
		dma_pool_destroy(f.pool);
	}
	return outcome(frees[i].name, bad);
}

static int misuse_create(struct device *dev, int i)
{
	struct dma_pool *pool;

	pr_info("%s expects: %s\n", creates[i].name, creates[i].message);
	pool = dma_pool_create(creates[i].name, dev, creates[i].size, creates[i].align,
			       creates[i].boundary);
	dma_pool_destroy(pool);
	return outcome(creates[i].name, pool ? "CORRUPTED: not refused" : NULL);
}

static int destroy_null(struct device *dev)
{
	pr_info("%s expects:\n", __func__);
	dma_pool_destroy(NULL);
	return outcome(__func__, NULL);
}

static int create_for_no_device(struct device *dev)
{
	struct dma_pool *pool;

	pr_info("%s expects:\n", __func__);
	pool = dma_pool_create("create_for_no_device", NULL, SIZE, SIZE, 0);
	return outcome(__func__, pool ? "CORRUPTED: not refused" : NULL);
}

/* The kernel's own pool oopses. */
static int create_on_node(struct device *dev, const char *name, int node)
{
	struct dma_pool *pool = NULL;

	pr_info("%s expects: pool %s: there is no NUMA node %d\n", name, name, node);
#ifdef RUST_DMAPOOL_REPLACE
	pool = dma_pool_create_node(name, dev, SIZE, SIZE, 0, node);
#endif
	return outcome(name, pool ? "CORRUPTED: not refused" : NULL);
}

static int create_on_no_node(struct device *dev)
{
	return create_on_node(dev, __func__, 1);
}

static int create_on_no_number_of_a_node(struct device *dev)
{
	return create_on_node(dev, __func__, INT_MAX);
}

/* Its block stays the device's: nobody else gets that memory. */
static int destroy_busy(struct device *dev)
{
	struct dma_pool *pool = dma_pool_create("destroy_busy", dev, SIZE, SIZE, 0);
	struct block block;

	if (!pool || !get(pool, &block, 0xdd))
		return -ENOMEM;
	pr_info("%s expects: busy|destroyed with 1 blocks allocated, 1 pages kept\n", __func__);
	dma_pool_destroy(pool);
	return outcome(__func__, intact(&block, 0xdd) ? NULL : "CORRUPTED");
}

/* No block is smaller than 16 bytes, whatever was asked for. */
static int write_past_a_small_block(struct device *dev)
{
	struct dma_pool *pool = dma_pool_create("small", dev, 4, 4, 0);
	static struct block blocks[BLOCKS];
	const char *bad = NULL;
	int i;

	if (!pool)
		return -ENOMEM;
	pr_info("%s expects:\n", __func__);
	for (i = 0; i < BLOCKS; i++) {
		blocks[i].v = dma_pool_alloc(pool, GFP_KERNEL, &blocks[i].dma);
		if (!blocks[i].v)
			return -ENOMEM;
		memset(blocks[i].v, i, 16);
	}
	for (i = 0; i < BLOCKS; i++)
		if (memchr_inv(blocks[i].v, i, 16))
			bad = "CORRUPTED: blocks overlap";
	for (i = 0; i < BLOCKS; i++)
		put(pool, &blocks[i]);
	dma_pool_destroy(pool);
	return outcome(__func__, bad);
}

/* No misuse: what is left over before a boundary is not counted as blocks. */
static int free_with_gaps(struct device *dev)
{
	struct dma_pool *pool = dma_pool_create("gaps", dev, 96, 32, 256);
	static struct block blocks[BLOCKS];
	const char *bad = NULL;
	int i, round;

	if (!pool)
		return -ENOMEM;
	pr_info("%s expects:\n", __func__);
	/* In the second round the pool knows the pages. */
	for (round = 0; round < 2; round++) {
		for (i = 0; i < BLOCKS; i++)
			if (!get(pool, &blocks[i], i))
				return -ENOMEM;
		for (i = 0; i < BLOCKS; i++) {
			if (!intact(&blocks[i], i))
				bad = "CORRUPTED: a block was handed out twice";
			put(pool, &blocks[i]);
		}
	}
	dma_pool_destroy(pool);
	return outcome(__func__, bad);
}

/* What the device or the driver writes to a block that is free is seen later. */
static int write_to_a_free_block(struct device *dev)
{
	struct dma_pool *pool = dma_pool_create("late", dev, SIZE, SIZE, 0);
	const char *bad = NULL;
	struct block block, same;

	if (!pool || !get(pool, &block, 0xee))
		return -ENOMEM;
	/* From now on the pool knows the page. */
	put(pool, &block);
	if (!get(pool, &block, 0xee))
		return -ENOMEM;
	pr_info("%s expects: %s\n", __func__,
		poisoned ? "was written to at offset 17 while it was free" : "");
	put(pool, &block);
	if (poisoned && memchr_inv(block.v, POOL_POISON_FREED, SIZE))
		bad = "CORRUPTED: a free block is not poisoned";
	block.v[17] = 0x42;
	same.v = dma_pool_alloc(pool, GFP_KERNEL, &same.dma);
	if (same.v != block.v)
		bad = "CORRUPTED: another block";
	/* Unless it is zeroed anyway. */
	else if (poisoned && memchr_inv(same.v, POOL_POISON_ALLOCATED, SIZE) &&
		 memchr_inv(same.v, 0, SIZE))
		bad = "CORRUPTED: a new block is not poisoned";
	put(pool, &same);
	if (!get(pool, &same, 0xee))
		return -ENOMEM;
	put(pool, &same);
	dma_pool_destroy(pool);
	return outcome(__func__, bad);
}

/* Nobody gets the block again: it is seen when the pool goes. */
static int write_to_a_block_that_stays_free(struct device *dev)
{
	struct dma_pool *pool = dma_pool_create("late", dev, SIZE, SIZE, 0);
	struct block block, other;

	if (!pool || !get(pool, &block, 0xee) || !get(pool, &other, 0xee))
		return -ENOMEM;
	pr_info("%s expects: %s\n", __func__,
		poisoned ? "was written to at offset 63 while it was free" : "");
	put(pool, &block);
	put(pool, &other);
	block.v[63] = 0x42;
	dma_pool_destroy(pool);
	return outcome(__func__, NULL);
}

static int (*const others[])(struct device *dev) = {
	destroy_null, create_for_no_device, create_on_no_node, create_on_no_number_of_a_node,
	destroy_busy,
	write_past_a_small_block, free_with_gaps, write_to_a_free_block,
	write_to_a_block_that_stays_free,
};

static struct faux_device *faux;

static int __init misuse_init(void)
{
	static u64 mask = DMA_BIT_MASK(64);
	int i, err, worst = 0;

	faux = faux_device_create("rust-dmapool-misuse", NULL, NULL);
	if (!faux)
		return -ENODEV;
	faux->dev.dma_mask = &mask;
	faux->dev.coherent_dma_mask = mask;

	for (i = 0; i < ARRAY_SIZE(frees); i++) {
		err = skipped(frees[i].name) ? 0 : misuse_free(&faux->dev, i);
		worst = err ?: worst;
	}
	for (i = 0; i < ARRAY_SIZE(creates); i++) {
		err = skipped(creates[i].name) ? 0 : misuse_create(&faux->dev, i);
		worst = err ?: worst;
	}
	for (i = 0; !only && i < ARRAY_SIZE(others); i++) {
		err = others[i](&faux->dev);
		worst = err ?: worst;
	}
	if (worst)
		faux_device_destroy(faux);
	return worst;
}

static void __exit misuse_exit(void)
{
	faux_device_destroy(faux);
}

module_init(misuse_init);
module_exit(misuse_exit);
MODULE_DESCRIPTION("Misuse of DMA pools");
MODULE_LICENSE("GPL");
