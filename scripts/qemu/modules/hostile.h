/* SPDX-License-Identifier: GPL-2.0 */
/* What hostile.c and hostile_shrink.rs need of each other. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <linux/types.h>

struct device;
struct hostile;

void hostile_hold(struct hostile *h, void *v, dma_addr_t dma);
int hostile_reach(struct hostile *h);
int hostile_shrink(struct hostile *h, struct device *dev);

#endif
