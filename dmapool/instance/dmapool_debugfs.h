/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DMAPOOL_DEBUGFS_H
#define _DMAPOOL_DEBUGFS_H

#include <linux/types.h>

struct device;
struct seq_file;

/* A pool that is listed, if there is a device; as in debugfs.rs. */
struct rust_dmapool_listed {
	struct list_head list;
	struct device *dev;
	const void *pool;
};

/* For debugfs.rs, which has the last one. */
void rust_dmapool_debugfs_init(void);
void rust_dmapool_debugfs_exit(void);
void rust_dmapool_list(struct rust_dmapool_listed *listed, struct device *dev, const void *pool);
void rust_dmapool_unlist(struct rust_dmapool_listed *listed);
void rust_dmapool_show(struct seq_file *s, unsigned int which, const void *pool,
		       struct device *dev);

#endif
