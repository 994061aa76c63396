/* SPDX-License-Identifier: GPL-2.0 */

/* The mempools of DPDK, most of which is inline, as functions. */

#ifndef _DPDK_H
#define _DPDK_H

struct rte_mempool;

int dpdk_init(unsigned int cpu);
int dpdk_register(void);
void dpdk_unregister(void);
struct rte_mempool *dpdk_create(unsigned int size, unsigned int count,
				unsigned int number);
int dpdk_destroy(struct rte_mempool *pool);
void *dpdk_alloc(struct rte_mempool *pool);
void dpdk_free(struct rte_mempool *pool, void *object);

#endif
