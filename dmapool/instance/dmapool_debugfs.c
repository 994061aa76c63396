// SPDX-License-Identifier: GPL-2.0

/*
 * The list of all pools, and the files of debugfs that show it. Those of the kernel
 * crate have no owner: a file that is open when the module is unloaded would outlive
 * its own operations.
 */

#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>

#include "dmapool_debugfs.h"

static LIST_HEAD(pools);
static DEFINE_MUTEX(pools_lock);
static struct dentry *dir;

void rust_dmapool_list(struct rust_dmapool_listed *listed, struct device *dev, const void *pool)
{
	listed->dev = get_device(dev);
	listed->pool = pool;
	mutex_lock(&pools_lock);
	list_add_tail(&listed->list, &pools);
	mutex_unlock(&pools_lock);
}

void rust_dmapool_unlist(struct rust_dmapool_listed *listed)
{
	if (!listed->dev)
		return;
	mutex_lock(&pools_lock);
	list_del(&listed->list);
	mutex_unlock(&pools_lock);
	/* Not under the lock: it may be the last one. */
	put_device(listed->dev);
	listed->dev = NULL;
}

static int show(struct seq_file *s, unsigned int which)
{
	struct rust_dmapool_listed *one;

	mutex_lock(&pools_lock);
	list_for_each_entry(one, &pools, list)
		rust_dmapool_show(s, which, one->pool, one->dev);
	mutex_unlock(&pools_lock);
	return 0;
}

static int pools_show(struct seq_file *s, void *unused)
{
	seq_puts(s, "size stride align pages capacity live high_water failures min_nr reserved device pool\n");
	return show(s, 0);
}
DEFINE_SHOW_ATTRIBUTE(pools);

static int map_show(struct seq_file *s, void *unused)
{
	return show(s, 1);
}
DEFINE_SHOW_ATTRIBUTE(map);

static int owners_show(struct seq_file *s, void *unused)
{
	return show(s, 2);
}
DEFINE_SHOW_ATTRIBUTE(owners);

void rust_dmapool_debugfs_init(void)
{
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("pools", 0444, dir, NULL, &pools_fops);
	debugfs_create_file("map", 0444, dir, NULL, &map_fops);
	debugfs_create_file("owners", 0400, dir, NULL, &owners_fops);
}

#ifdef MODULE
void rust_dmapool_debugfs_exit(void)
{
	struct rust_dmapool_listed *one;

	debugfs_remove(dir);
	/* Pools that were forgotten. */
	list_for_each_entry(one, &pools, list)
		put_device(one->dev);
}
#endif
