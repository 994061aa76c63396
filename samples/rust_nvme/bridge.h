/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUST_NVME_BRIDGE_H
#define RUST_NVME_BRIDGE_H

#include <linux/dma-direction.h>
#include <linux/types.h>

struct device;
struct dma_iova_state;
struct request;

extern const u32 rust_nvme_feat_write_cache;

bool rust_nvme_map_single(struct request *req, struct device *dev, dma_addr_t *addr);
bool rust_nvme_need_unmap(struct device *dev);
void rust_nvme_set_min_align_mask(struct device *dev, unsigned int mask);
void rust_nvme_unmap_iova(struct device *dev, struct dma_iova_state *state, size_t len,
			  enum dma_data_direction dir);

#endif
