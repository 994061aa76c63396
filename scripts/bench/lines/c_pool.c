// SPDX-License-Identifier: GPL-2.0
/*
 * C's pool, as the model calls it.
 */
#include "../host/dmapool.h"

#include "lines.h"

static struct device device = { LIST_HEAD_INIT(device.dma_pools), 0 };

void *c_pool_create(size_t size, size_t align, size_t boundary)
{
	return dma_pool_create("model", &device, size, align, boundary);
}

struct block c_pool_alloc(void *pool)
{
	struct block block;

	block.first = dma_pool_alloc(pool, GFP_KERNEL, &block.second);
	return block;
}

void c_pool_free(void *pool, struct block block)
{
	dma_pool_free(pool, block.first, block.second);
}
