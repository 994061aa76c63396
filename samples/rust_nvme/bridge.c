// SPDX-License-Identifier: GPL-2.0
/*
 * What Rust cannot do by itself: inline functions of C, and types that the bindings lack.
 */

#include <linux/blk-mq-dma.h>
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/dma-mapping.h>

#include "bridge.h"

const u32 rust_nvme_feat_write_cache = (__force u32)(BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA);

/* struct Iterator of bridge/mapping.rs has this much room, and reads these fields. */
static_assert(sizeof(struct blk_dma_iter) <= 12 * sizeof(u64));
static_assert(__alignof__(struct blk_dma_iter) <= __alignof__(u64));
static_assert(offsetof(struct blk_dma_iter, addr) == 0);
static_assert(sizeof_field(struct blk_dma_iter, addr) == sizeof(u64));
static_assert(offsetof(struct blk_dma_iter, len) == sizeof(u64));
static_assert(sizeof_field(struct blk_dma_iter, len) == sizeof(u32));
static_assert(offsetof(struct blk_dma_iter, status) == 4 * sizeof(u64));
static_assert(sizeof_field(struct blk_dma_iter, status) == sizeof(u8));

/* Map the data of a request that has one segment. */
bool rust_nvme_map_single(struct request *req, struct device *dev, dma_addr_t *addr)
{
	struct bio_vec bv = req_bvec(req);

	*addr = dma_map_bvec(dev, &bv, rq_dma_dir(req), 0);
	return !dma_mapping_error(dev, *addr);
}

bool rust_nvme_need_unmap(struct device *dev)
{
	return dma_need_unmap(dev);
}

void rust_nvme_set_min_align_mask(struct device *dev, unsigned int mask)
{
	dma_set_min_align_mask(dev, mask);
}

void rust_nvme_unmap_iova(struct device *dev, struct dma_iova_state *state, size_t len,
			  enum dma_data_direction dir)
{
	dma_iova_destroy(dev, state, len, dir, 0);
}
