/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pools of coherent DMA memory without a lock: the interface for C.
 *
 * Each function has the contract of the one in <linux/dmapool.h> whose name it
 * bears after "rust_". What differs:
 *
 * - Frees are checked. An address that is not of the pool, that is inside a
 *   block, that does not match its handle, or whose block is free already is
 *   reported with dev_err() and changes nothing.
 * - A pool of <linux/dmapool.h> is reported with pr_err() and nothing is done;
 *   of drivers that share a pool, all have to be moved.
 * - A pool that is destroyed while blocks are allocated keeps their pages only.
 * - Memory that is not aligned as the pool's blocks are to be, or crosses their
 *   boundary, is not handed out.
 * - A pool's name is not cut off.
 * - As long as a pool exists, rust_dmapool cannot be unloaded.
 *
 * To move a driver without changing it, have its build line define
 * RUST_DMAPOOL_REPLACE and include this file first:
 *
 *	CFLAGS_driver.o += -DRUST_DMAPOOL_REPLACE -include linux/rust_dmapool.h
 *
 * To move a driver that is compiled already, see scripts/relink-dmapool.
 */
#ifndef _LINUX_RUST_DMAPOOL_H
#define _LINUX_RUST_DMAPOOL_H

#ifdef RUST_DMAPOOL_REPLACE

/* These rename what <linux/dmapool.h> declares and defines, too. */
#define dma_pool_create_node rust_dma_pool_create_node
#define dma_pool_create rust_dma_pool_create
#define dma_pool_destroy rust_dma_pool_destroy
#define dma_pool_alloc rust_dma_pool_alloc
#define dma_pool_zalloc rust_dma_pool_zalloc
#define dma_pool_free rust_dma_pool_free
#define dmam_pool_create rust_dmam_pool_create
#define dmam_pool_destroy rust_dmam_pool_destroy

#endif

#include <linux/gfp_types.h>
#include <linux/numa.h>
#include <linux/types.h>

struct device;
struct dma_pool;

/*
 * A pool that keeps min_nr blocks back for allocations that may not wait, and
 * NULL if there is no memory for them. May sleep.
 */
struct dma_pool *rust_dma_pool_create_reserve(const char *name, struct device *dev, size_t size,
					      size_t align, size_t boundary, int node,
					      size_t min_nr);

/*
 * Has at least count blocks be free. Returns 0 or -ENOMEM; what was added until
 * then stays. Any context that mem_flags allow.
 */
int rust_dma_pool_prefill(struct dma_pool *pool, size_t count, gfp_t mem_flags);

/*
 * Gives pages without allocated blocks back, but for the reserve's, and returns
 * how many. May sleep. Nobody may allocate from the pool or free into it
 * meanwhile.
 */
size_t rust_dma_pool_shrink(struct dma_pool *pool);

#ifndef RUST_DMAPOOL_REPLACE

struct dma_pool *rust_dma_pool_create_node(const char *name, struct device *dev, size_t size,
					   size_t align, size_t boundary, int node);
void rust_dma_pool_destroy(struct dma_pool *pool);
void *rust_dma_pool_alloc(struct dma_pool *pool, gfp_t mem_flags, dma_addr_t *handle);
void rust_dma_pool_free(struct dma_pool *pool, void *vaddr, dma_addr_t addr);

struct dma_pool *rust_dmam_pool_create(const char *name, struct device *dev, size_t size,
				       size_t align, size_t boundary);
void rust_dmam_pool_destroy(struct dma_pool *pool);

static inline struct dma_pool *rust_dma_pool_create(const char *name, struct device *dev,
						    size_t size, size_t align, size_t boundary)
{
	return rust_dma_pool_create_node(name, dev, size, align, boundary, NUMA_NO_NODE);
}

static inline void *rust_dma_pool_zalloc(struct dma_pool *pool, gfp_t mem_flags,
					 dma_addr_t *handle)
{
	return rust_dma_pool_alloc(pool, mem_flags | __GFP_ZERO, handle);
}

#endif /* !RUST_DMAPOOL_REPLACE */

#endif
