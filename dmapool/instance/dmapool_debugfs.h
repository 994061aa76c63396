/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DMAPOOL_DEBUGFS_H
#define _DMAPOOL_DEBUGFS_H

struct seq_file;

void rust_dmapool_debugfs_init(void);
void rust_dmapool_debugfs_exit(void);

/* In debugfs.rs. */
int rust_dmapool_show_pools(struct seq_file *s);
int rust_dmapool_show_map(struct seq_file *s);
int rust_dmapool_show_owners(struct seq_file *s);

#endif
