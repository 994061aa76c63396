// SPDX-License-Identifier: GPL-2.0
/*
 * Allocates with all kinds of flags in contexts that go with some of them, from a
 * pool that has a free block, so that none of this sleeps or asks for memory.
 *
 * For each case the log has a line "FLAGS CONTEXT expects: TEXT", then what the
 * kernel says, then "FLAGS CONTEXT: " with the outcome.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/device/faux.h>
#include <linux/dma-mapping.h>
#include <linux/dmapool.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>

static struct dma_pool *pool;

static bool anywhere(gfp_t flags)
{
	dma_addr_t dma;
	void *v = dma_pool_alloc(pool, flags, &dma);

	if (v)
		dma_pool_free(pool, v, dma);
	return v;
}

static bool atomic(gfp_t flags)
{
	bool done;

	preempt_disable();
	done = anywhere(flags);
	preempt_enable();
	return done;
}

static bool in_reclaim(gfp_t flags)
{
	bool done;

	fs_reclaim_acquire(GFP_KERNEL);
	done = anywhere(flags);
	fs_reclaim_release(GFP_KERNEL);
	return done;
}

#define CASE(flags, context, message) { #flags " " #context, flags, context, message }
#define SLEEPS "sleeping function called from invalid context"
#define RECURS "possible recursive locking detected"

static const struct {
	const char *name;
	gfp_t flags;
	bool (*alloc)(gfp_t flags);
	const char *message;
} cases[] = {
	CASE(GFP_KERNEL, anywhere, ""),
	CASE(GFP_ATOMIC, atomic, ""),
	CASE(GFP_NOWAIT, atomic, ""),
	CASE(GFP_NOIO, atomic, SLEEPS),
	CASE(GFP_NOFS, atomic, SLEEPS),
	CASE(GFP_KERNEL, atomic, SLEEPS),
	CASE(GFP_ATOMIC, in_reclaim, ""),
	CASE(GFP_NOWAIT, in_reclaim, ""),
	CASE(GFP_NOIO, in_reclaim, ""),
	CASE(GFP_NOFS, in_reclaim, ""),
	/* The last one, by which lockdep switches itself off. */
	CASE(GFP_KERNEL, in_reclaim, RECURS),
};

static int __init might_alloc_init(void)
{
	static u64 mask = DMA_BIT_MASK(64);
	struct faux_device *faux;
	int i, ret = -ENOMEM;

	faux = faux_device_create("rust-dmapool-might-alloc", NULL, NULL);
	if (!faux)
		return -ENODEV;
	faux->dev.dma_mask = &mask;
	faux->dev.coherent_dma_mask = mask;

	pool = dma_pool_create("might_alloc", &faux->dev, 64, 64, 0);
	if (!pool)
		goto out;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		/* The kernel says that something sleeps once a second at most. */
		if (*cases[i].message)
			msleep(1100);
		pr_info("%s expects: %s\n", cases[i].name, cases[i].message);
		if (!cases[i].alloc(cases[i].flags))
			goto out;
		pr_info("%s: done\n", cases[i].name);
	}
	ret = 0;
out:
	dma_pool_destroy(pool);
	faux_device_destroy(faux);
	return ret;
}

static void __exit might_alloc_exit(void)
{
}

module_init(might_alloc_init);
module_exit(might_alloc_exit);
MODULE_DESCRIPTION("Allocates from a DMA pool where that might sleep");
MODULE_LICENSE("GPL");
