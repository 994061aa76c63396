// SPDX-License-Identifier: GPL-2.0

//! DMA pools: small, aligned blocks of coherent DMA memory that a device and its driver share.
//!
//! A [`Pool`] carves pages from `dma_alloc_coherent()` into equal blocks. A [`Block`] owns one of
//! them: it knows the address for the CPU and the address for the device, gives typed access to
//! what is in it, and frees itself when dropped.
//!
//! What C's `mm/dmapool.c` asks of its callers, the types here see to:
//!
//! - a pool ends before its device's binding does, and a block before its pool;
//! - a block is freed once, into the pool it came from;
//! - a device can write what it likes into a block: the state of the allocator is elsewhere.
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     device::Core,
//!     io::io_write,
//!     pci,
//!     prelude::*, //
//! };
//! use rust_dmapool::{
//!     Geometry,
//!     Pool, //
//! };
//!
//! #[repr(C)]
//! #[derive(FromBytes, IntoBytes)]
//! struct Descriptor {
//!     address: u64,
//!     len: u64,
//! }
//!
//! fn probe(pdev: &pci::Device<Core<'_>>) -> Result {
//!     let geometry = Geometry::of::<Descriptor>();
//!     let pool = Pool::<Descriptor>::new_managed(pdev, c"descriptors", geometry)?;
//!     let descriptor = pool.zalloc(GFP_KERNEL)?;
//!
//!     io_write!(descriptor, .len, 4096);
//!     pr_info!("give {:#x} to the device\n", descriptor.dma_address());
//!     Ok(())
//! }
//! ```
//!
//! # Where things are
//!
//! From the bottom up:
//!
//! | file in `dmapool/` | owns |
//! | --- | --- |
//! | `geometry.rs` | how blocks lie in a page: arithmetic |
//! | `bitmap.rs` | one word of a bitmap and its atomic operations |
//! | `page.rs` | a page's memory and the record that says which blocks are free |
//! | `table.rs` | all pages, and how to find one with a free block |
//! | `current.rs` | which page each CPU allocates from |
//! | `block.rs`, `payload.rs` | the owner of a block, and what a block can hold |
//! | `tokens.rs` | blocks that are out of anybody's hands, and come back once |
//! | `reserve.rs`, `refill.rs`, `refill.c` | blocks that are kept back, and who replaces them |
//! | `common.rs` | what all pages of a pool have in common |
//! | `raw_pool.rs` | allocating, growing, destroying |
//! | `gfp.rs` | what allocation flags mean for each thing that is allocated |
//! | `contents.rs` | zeroing, and poisoning to find late writes |
//! | `pool.rs`, `options.rs` | the public face |
//! | `managed.rs` | the variant that devres destroys, and on which buses |
//! | `module_ref.rs` | how long the module stays |
//! | `context.rs` | what the caller may do |
//! | `c_pool.rs`, `index.rs` | the interface for C, and how an address becomes a page |
//! | `debugfs.rs`, `debugfs.c` | what pools there are, for people to read |
//! | `helpers.c`, `exports.c` | what Rust cannot do by itself |
//!
//! The design, with the argument for each memory ordering, is in `Documentation/`.

use kernel::prelude::*;

#[path = "dmapool/bitmap.rs"]
mod bitmap;
#[path = "dmapool/block.rs"]
mod block;
#[path = "dmapool/c_pool.rs"]
mod c_pool;
#[path = "dmapool/common.rs"]
mod common;
#[path = "dmapool/contents.rs"]
mod contents;
#[path = "dmapool/context.rs"]
mod context;
#[path = "dmapool/current.rs"]
mod current;
#[path = "dmapool/debugfs.rs"]
mod debugfs;
#[path = "dmapool/geometry.rs"]
mod geometry;
#[path = "dmapool/gfp.rs"]
mod gfp;
#[path = "dmapool/index.rs"]
mod index;
#[path = "dmapool/managed.rs"]
mod managed;
#[path = "dmapool/module_ref.rs"]
mod module_ref;
#[path = "dmapool/options.rs"]
mod options;
#[path = "dmapool/page.rs"]
mod page;
#[path = "dmapool/payload.rs"]
mod payload;
#[path = "dmapool/pool.rs"]
mod pool;
#[path = "dmapool/raw_pool.rs"]
mod raw_pool;
#[path = "dmapool/refill.rs"]
mod refill;
#[path = "dmapool/reserve.rs"]
mod reserve;
#[path = "dmapool/table.rs"]
mod table;
#[cfg(CONFIG_KUNIT)]
#[path = "dmapool/tests/mod.rs"]
mod tests;
#[path = "dmapool/tokens.rs"]
mod tokens;

pub use block::Block;
pub use geometry::{
    Geometry,
    InvalidGeometry, //
};
pub use managed::{
    DataBeforeDevres,
    Managed, //
};
pub use options::Options;
pub use payload::Payload;
pub use pool::Pool;
pub use raw_pool::Statistics;
pub use tokens::RawBlock;

struct Module;

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: A module is loaded once, and nobody else can have called into it.
        unsafe { debugfs::init() };
        Ok(Self)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        module_ref::wait_for_last();
        debugfs::exit();
        pr_info!(
            "unloaded, {} pages kept for devices\n",
            raw_pool::pages_held()
        );
    }
}

module! {
    type: Module,
    name: "rust_dmapool",
    authors: ["The rust_dmapool authors"],
    description: "DMA pools for Rust drivers",
    license: "GPL v2",
    params: {
        poison: bool {
            default: false,
            description: "Fill free blocks with a value, and report who writes to them",
        },
    },
}
