// SPDX-License-Identifier: GPL-2.0

/*
 * The files of debugfs. Those of the kernel crate have no owner: a file that is
 * open when the module is unloaded would outlive its own operations.
 */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "dmapool_debugfs.h"

static struct dentry *dir;

static int pools_show(struct seq_file *s, void *unused)
{
	seq_puts(s, "size stride align pages capacity live high_water failures min_nr reserved device pool\n");
	return rust_dmapool_show_pools(s);
}
DEFINE_SHOW_ATTRIBUTE(pools);

static int map_show(struct seq_file *s, void *unused)
{
	return rust_dmapool_show_map(s);
}
DEFINE_SHOW_ATTRIBUTE(map);

static int owners_show(struct seq_file *s, void *unused)
{
	return rust_dmapool_show_owners(s);
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
	debugfs_remove(dir);
}
#endif
