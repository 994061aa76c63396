/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _RUST_DMAPOOL_DEBUGFS_H
#define _RUST_DMAPOOL_DEBUGFS_H

struct dentry;
struct seq_file;

struct dentry *rust_dmapool_debugfs_dir(const char *name, struct dentry *parent);
struct dentry *rust_dmapool_debugfs_device(const char *name, struct dentry *parent, void *device);
struct dentry *rust_dmapool_debugfs_pool(const char *name, struct dentry *parent, void *number);
void rust_dmapool_debugfs_remove(struct dentry *dir);

/* In debugfs.rs. */
int rust_dmapool_show_pools(struct seq_file *s, void *device);
int rust_dmapool_show_statistics(struct seq_file *s, void *number);
int rust_dmapool_show_map(struct seq_file *s, void *number);

#endif
