// SPDX-License-Identifier: GPL-2.0

// The core of `rust_dmapool`, from the sources of the module and not a copy: what each program in
// user space that stands on this `kernel` crate includes.

#[path = "../../../dmapool/address_map.rs"]
mod address_map;
#[path = "../../../dmapool/alloc.rs"]
mod alloc;
#[path = "../../../dmapool/allocated.rs"]
mod allocated;
#[path = "../../../dmapool/bitmap.rs"]
mod bitmap;
#[path = "../../../dmapool/block.rs"]
mod block;
#[path = "../../../dmapool/checked_free.rs"]
mod checked_free;
#[path = "../../../dmapool/context.rs"]
mod context;
#[path = "../../../dmapool/cpu_pages.rs"]
mod cpu_pages;
#[path = "../../../dmapool/find.rs"]
mod find;
#[path = "../../../dmapool/free.rs"]
mod free;
#[path = "../../../dmapool/geometry.rs"]
mod geometry;
#[path = "../../../dmapool/gfp.rs"]
mod gfp;
#[path = "../../../dmapool/grow.rs"]
mod grow;
#[path = "../../../dmapool/init.rs"]
mod init;
#[path = "../../../dmapool/init_block.rs"]
mod init_block;
#[path = "../../../dmapool/node.rs"]
mod node;
#[path = "../../../dmapool/options.rs"]
mod options;
#[path = "../../../dmapool/page.rs"]
mod page;
#[path = "../../../dmapool/page_count.rs"]
mod page_count;
#[path = "../../../dmapool/page_memory.rs"]
mod page_memory;
#[path = "../../../dmapool/page_spec.rs"]
mod page_spec;
#[path = "../../../dmapool/page_tree.rs"]
mod page_tree;
#[path = "../../../dmapool/payload.rs"]
mod payload;
#[path = "../../../dmapool/publish.rs"]
mod publish;
#[path = "../../../dmapool/raw_pool.rs"]
mod raw_pool;
#[path = "../../../dmapool/recent_pages.rs"]
mod recent_pages;
#[path = "../../../dmapool/refill.rs"]
mod refill;
#[path = "../../../dmapool/reserve.rs"]
mod reserve;
#[path = "../../../dmapool/shrink.rs"]
mod shrink;
#[path = "../../../dmapool/statistics.rs"]
mod statistics;
#[path = "../../../dmapool/token_count.rs"]
mod token_count;
#[path = "../../../dmapool/tokens.rs"]
mod tokens;
