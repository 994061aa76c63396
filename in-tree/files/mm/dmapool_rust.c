// SPDX-License-Identifier: GPL-2.0

/*
 * DMA pools in Rust: what takes C.
 *
 * The functions that <linux/dmapool.h> declares are in rust/kernel/dma/pool/. They are exported
 * here, for whoever might use those of mm/dmapool.c.
 */

#include <linux/device.h>
#include <linux/dmapool.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sysfs.h>

#include "dmapool_debugfs.h"
#include "dmapool_rust.h"

/* checkpatch wants an export below its function, which is in Rust. */
#define EXPORT_OF_RUST EXPORT_SYMBOL

EXPORT_OF_RUST(dma_pool_create_node);
EXPORT_OF_RUST(dma_pool_destroy);
EXPORT_OF_RUST(dma_pool_alloc);
EXPORT_OF_RUST(dma_pool_free);
EXPORT_OF_RUST(dmam_pool_create);
EXPORT_OF_RUST(dmam_pool_destroy);

/* The beginning of a pool, which is all that is known of it here; struct Head in c_names.rs. */
struct dma_pool {
	struct list_head pools;
	struct device *dev;
};

/* The lists of all devices. */
static DEFINE_MUTEX(pools_lock);

/*
 * Whether a device has the attribute. Not the same lock, because who removes an
 * attribute waits for who reads it.
 */
static DEFINE_MUTEX(pools_reg_lock);

static ssize_t pools_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct dma_pool *pool;
	int size;

	size = sysfs_emit(buf, "poolinfo - 0.1\n");

	mutex_lock(&pools_lock);
	list_for_each_entry(pool, &dev->dma_pools, pools) {
		size_t numbers[4];
		const char *name = rust_dmapool_describe(pool, numbers);

		/* A reader may have room for so much of a name. */
		size += sysfs_emit_at(buf, size, "%-16.31s %4zu %4zu %4zu %2zu\n", name,
				      numbers[0], numbers[1], numbers[2], numbers[3]);
	}
	mutex_unlock(&pools_lock);

	return size;
}

static DEVICE_ATTR_RO(pools);

static bool add_to_device(struct dma_pool *pool)
{
	bool first;

	mutex_lock(&pools_lock);
	first = list_empty(&pool->dev->dma_pools);
	list_add(&pool->pools, &pool->dev->dma_pools);
	mutex_unlock(&pools_lock);
	return first;
}

static bool remove_from_device(struct dma_pool *pool)
{
	bool last;

	mutex_lock(&pools_lock);
	list_del(&pool->pools);
	last = list_empty(&pool->dev->dma_pools);
	mutex_unlock(&pools_lock);
	return last;
}

/* Has the attribute of the device list a pool. */
int rust_dmapool_show_in_sysfs(struct dma_pool *pool, struct device *dev)
{
	int err = 0;

	pool->dev = dev;

	mutex_lock(&pools_reg_lock);
	if (add_to_device(pool))
		err = device_create_file(dev, &dev_attr_pools);
	if (err) {
		remove_from_device(pool);
		pool->dev = NULL;
	}
	mutex_unlock(&pools_reg_lock);
	return err;
}

void rust_dmapool_hide_in_sysfs(struct dma_pool *pool)
{
	mutex_lock(&pools_reg_lock);
	if (remove_from_device(pool))
		device_remove_file(pool->dev, &dev_attr_pools);
	mutex_unlock(&pools_reg_lock);
}

#ifdef CONFIG_RUST_DMAPOOL_KUNIT_TEST
/* Which part of the soak test to run; 0 is a small one. */
unsigned long rust_dmapool_soak;
module_param_named(soak, rust_dmapool_soak, ulong, 0);
#endif

/* debugfs itself is a core_initcall. */
static int __init init_debugfs(void)
{
	rust_dmapool_debugfs_init();
	return 0;
}
postcore_initcall(init_debugfs);
