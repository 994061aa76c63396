/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUST_NVME_BRIDGE_H
#define RUST_NVME_BRIDGE_H

#include <linux/blk_types.h>
#include <linux/types.h>

struct blk_dma_iter;
struct device;
struct dma_iova_state;
struct request;

extern const u32 rust_nvme_feat_write_cache;

blk_status_t rust_nvme_map_single(struct request *req, struct device *dev, dma_addr_t *addr);
blk_status_t rust_nvme_map_start(struct request *req, struct device *dev,
				 struct dma_iova_state *state, struct blk_dma_iter *iter);
blk_status_t rust_nvme_map_next(struct request *req, struct device *dev,
				struct blk_dma_iter *iter);

#endif
