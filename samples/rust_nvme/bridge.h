/* SPDX-License-Identifier: GPL-2.0 */
#ifndef RUST_NVME_BRIDGE_H
#define RUST_NVME_BRIDGE_H

#include <linux/types.h>

struct device;
struct request;

extern const u32 rust_nvme_feat_write_cache;

bool rust_nvme_map_single(struct request *req, struct device *dev, dma_addr_t *addr);

#endif
