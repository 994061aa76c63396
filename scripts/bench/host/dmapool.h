/* SPDX-License-Identifier: GPL-2.0 */

/*
 * What mm/dmapool.c includes, for user space. Lists and the like are the kernel's
 * own, from its tools/include; the headers that are left are empty files.
 *
 * Kind to C: interrupts and preemption are not disabled, which costs nothing
 * here. As in the kernel, the lock's functions are calls.
 */

#ifndef _BENCH_DMAPOOL_H
#define _BENCH_DMAPOOL_H

#include <linux/align.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/poison.h>
#include <linux/types.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef u64 dma_addr_t;

#define __GFP_ZERO 0x100
#define PAGE_SIZE 4096UL
#define EXPORT_SYMBOL(name)

/* As scripts/loom/kernel/src/bindings.rs has it. */
struct device {
	struct list_head dma_pools;
	u64 coherent_dma_mask;
};

struct device_attribute {
	ssize_t (*show)(struct device *dev, struct device_attribute *attr, char *buf);
};

#define DEVICE_ATTR_RO(name) \
	struct device_attribute dev_attr_##name = { name##_show }

static inline int device_create_file(struct device *dev, struct device_attribute *attr)
{
	return 0;
}

static inline void device_remove_file(struct device *dev, struct device_attribute *attr)
{
}

/* Whatever the pool complains of is a mistake. */
#define dev_err(dev, ...) ((void)(dev), fprintf(stderr, __VA_ARGS__), abort())

/* Nobody asks for these. */
#define sysfs_emit(buf, ...) sprintf(buf, __VA_ARGS__)
#define sysfs_emit_at(buf, at, ...) sprintf((buf) + (at), __VA_ARGS__)
static inline void *devres_alloc(void (*release)(struct device *dev, void *res), size_t size,
				 gfp_t gfp)
{
	return NULL;
}

static inline void devres_add(struct device *dev, void *res)
{
}

static inline void devres_free(void *res)
{
}

static inline int devres_release(struct device *dev,
				 void (*release)(struct device *dev, void *res),
				 int (*match)(struct device *dev, void *res, void *data),
				 void *data)
{
	return 0;
}

#ifndef WARN_ON
#define WARN_ON(condition) ((void)(condition))
#endif

/* As if booted with init_on_alloc=0 and init_on_free=0. */
#define might_alloc(gfp) ((void)(gfp))
#define want_init_on_alloc(gfp) ((gfp) & __GFP_ZERO)
#define want_init_on_free() false

static inline void *kzalloc_node(size_t size, gfp_t gfp, int node)
{
	return calloc(1, size);
}

static inline void *kmalloc_node(size_t size, gfp_t gfp, int node)
{
	return malloc(size);
}

#define kfree(memory) free(memory)
#define strscpy(to, from, size) snprintf(to, size, "%s", from)

/* Memory for DMA is what the other pool has as well. */
void *host_alloc_dma(size_t size);
void host_free_dma(void *memory);

static inline void *dma_alloc_coherent(struct device *dev, size_t size, dma_addr_t *dma, gfp_t gfp)
{
	void *memory = host_alloc_dma(size);

	*dma = (dma_addr_t)(unsigned long)memory;
	return memory;
}

static inline void dma_free_coherent(struct device *dev, size_t size, void *memory, dma_addr_t dma)
{
	host_free_dma(memory);
}

#define DEFINE_MUTEX(name) pthread_mutex_t name = PTHREAD_MUTEX_INITIALIZER
#define mutex_lock(mutex) pthread_mutex_lock(mutex)
#define mutex_unlock(mutex) pthread_mutex_unlock(mutex)

/*
 * A ticket lock. Without contention it is as cheap as the kernel's, one locked
 * instruction and a store; with contention, as fair.
 */
struct bench_spinlock {
	unsigned short owner, next;
};

#define spinlock_t struct bench_spinlock

void bench_spin_lock(spinlock_t *lock);
void bench_spin_unlock(spinlock_t *lock);

#define spin_lock_init(lock) (*(lock) = (spinlock_t){ 0, 0 })
#define spin_lock_irqsave(lock, flags) ((flags) = 0, bench_spin_lock(lock))
#define spin_unlock_irqrestore(lock, flags) ((void)(flags), bench_spin_unlock(lock))

struct dma_pool;
struct dma_pool *dma_pool_create_node(const char *name, struct device *dev, size_t size,
				      size_t align, size_t boundary, int node);
void *dma_pool_alloc(struct dma_pool *pool, gfp_t gfp, dma_addr_t *dma);
void dma_pool_free(struct dma_pool *pool, void *memory, dma_addr_t dma);

#define dma_pool_create(name, dev, size, align, boundary) \
	dma_pool_create_node(name, dev, size, align, boundary, -1)

#endif
