// SPDX-License-Identifier: GPL-2.0

/*
 * The files of debugfs. Those of the kernel crate have no owner: a file that is
 * open when the module is unloaded would outlive its own operations.
 *
 * They are made by debugfs_create_file_unsafe(). Removing one of the others waits
 * for its readers, who may be waiting for user space, even for the process that
 * removes it. What these show they look up in a list, by the number of a pool or
 * the address of a device: no pointer in them can become stale.
 */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "debugfs.h"

static int pools_show(struct seq_file *s, void *unused)
{
	return rust_dmapool_show_pools(s, s->private);
}
DEFINE_SHOW_ATTRIBUTE(pools);

static int statistics_show(struct seq_file *s, void *unused)
{
	return rust_dmapool_show_statistics(s, s->private);
}
DEFINE_SHOW_ATTRIBUTE(statistics);

static int map_show(struct seq_file *s, void *unused)
{
	return rust_dmapool_show_map(s, s->private);
}
DEFINE_SHOW_ATTRIBUTE(map);

struct dentry *rust_dmapool_debugfs_dir(const char *name, struct dentry *parent)
{
	return debugfs_create_dir(name, parent);
}

/* The directory of a device, which stands for it in the list of devices. */
struct dentry *rust_dmapool_debugfs_device(const char *name, struct dentry *parent, void *device)
{
	struct dentry *dir = debugfs_create_dir(name, parent);

	debugfs_create_file_unsafe("pools", 0444, dir, device, &pools_fops);
	return dir;
}

struct dentry *rust_dmapool_debugfs_pool(const char *name, struct dentry *parent, void *number)
{
	struct dentry *dir = debugfs_create_dir(name, parent);

	debugfs_create_file_unsafe("statistics", 0444, dir, number, &statistics_fops);
	debugfs_create_file_unsafe("map", 0444, dir, number, &map_fops);
	return dir;
}

/* With all that is in it. */
void rust_dmapool_debugfs_remove(struct dentry *dir)
{
	debugfs_remove(dir);
}
