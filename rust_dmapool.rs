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
//! - a block is freed once, into the pool it came from.
//!
//! A device can write what it likes into a block: the state of the allocator is elsewhere.
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
//! # From C
//!
//! | C | Rust |
//! | --- | --- |
//! | `dma_pool_create()` | [`Pool::new`] |
//! | `dma_pool_create_node()` | [`Pool::new_with`], with [`Options::node`] |
//! | `dmam_pool_create()` | [`Pool::new_managed`] |
//! | `dma_pool_alloc()` | [`Pool::alloc`]; then [`Block::dma_address`], [`Block::as_ptr`] |
//! | `dma_pool_zalloc()` | [`Pool::zalloc`] |
//! | `dma_pool_free()` | the drop of a [`Block`] |
//! | `dma_pool_destroy()` | the drop of a [`Pool`] |
//! | `dmam_pool_destroy()` | [`Managed::destroy`], or nothing |
//!
//! Use [`Pool::new_managed`] where it compiles, which is in `probe()` on most buses: the driver's
//! data can then hold blocks. Use [`Pool::new`] everywhere else, and for a pool that is to end
//! before the driver detaches.
//!
//! # What the device sees, and when
//!
//! Accesses to a block are volatile, but are not barriers. To order them with what the device does
//! is the driver's duty, as in C:
//!
//! - A write to a register needs nothing before it, because `write32()` is C's `writel()`, which
//!   waits for all writes to memory, and a read of one needs nothing after it. Accesses by
//!   `relaxed()` wait for nothing: put `mb(Write)` before such a write, `mb(Read)` after such a
//!   read.
//! - If a flag in memory says whose the rest of the memory is, put `dma_mb(Write)` before it is
//!   written, and `dma_mb(Read)` after it is read:
//!
//! ```
//! use kernel::{
//!     io::{
//!         io_read,
//!         io_write, //
//!     },
//!     prelude::*,
//!     sync::barrier::{
//!         dma_mb,
//!         Read,
//!         Write, //
//!     }, //
//! };
//! use rust_dmapool::Block;
//!
//! #[repr(C)]
//! #[derive(FromBytes, IntoBytes)]
//! struct Descriptor {
//!     address: u64,
//!     len: u32,
//!     status: u32,
//! }
//!
//! const OWNED_BY_DEVICE: u32 = 1 << 31;
//!
//! fn submit(descriptor: &Block<'_, Descriptor>, buffer: u64) {
//!     io_write!(descriptor, .address, buffer);
//!     // The device must not see the descriptor as its own before the rest of it.
//!     dma_mb(Write);
//!     io_write!(descriptor, .status, OWNED_BY_DEVICE);
//! }
//!
//! fn completed(descriptor: &Block<'_, Descriptor>) -> Option<u32> {
//!     if io_read!(descriptor, .status) & OWNED_BY_DEVICE != 0 {
//!         return None;
//!     }
//!     // What the device wrote before it gave the descriptor back must not be read earlier.
//!     dma_mb(Read);
//!     Some(io_read!(descriptor, .len))
//! }
//! ```
//!
//! # Where things are
//!
//! The lowest layer first. A file uses only files in earlier rows, or earlier in its own
//! (`scripts/check/layers`; `unpublished.rs` is for tests):
//!
//! | file in `dmapool/` | owns |
//! | --- | --- |
//! | `gfp.rs`, `context.rs`, `c_string.rs` | what flags mean, what a caller may do; strings of C |
//! | `bitmap.rs` | one word of a bitmap and its atomic operations |
//! | `geometry.rs` | how blocks lie in a page: arithmetic |
//! | `options.rs`, `payload.rs` | what a pool can be given, and what a block can hold |
//! | `init.rs` | zeroing and poison: what is written into blocks, and when |
//! | `token_count.rs` | what makes a token good once |
//! | `node.rs` | a node of the page tree, and how a page is announced there |
//! | `page_count.rs` | how many pages a pool has, and how many it may have |
//! | `page_spec.rs` | which bits of a page stand for a block |
//! | `page.rs` | a page's memory, and the record that says which blocks are free |
//! | `page_tree.rs` | all pages, and the search for one with a free block |
//! | `allocated.rs` | an allocated block, as the pool handles it |
//! | `cpu_pages.rs` | the pages that each CPU works on |
//! | `reserve.rs`, `refill_work.rs` | blocks that are kept back, and a work item to replace them |
//! | `recent_pages.rs`, `address_map.rs` | from a DMA address to a page, in one step or in some |
//! | `raw_pool.rs` | what a pool consists of, and its end |
//! | `statistics.rs` | what a pool knows of itself |
//! | `publish.rs` | how a free block comes to be found |
//! | `page_memory.rs` | obtaining the memory of a page, and a look at where it lies |
//! | `grow.rs`, `shrink.rs` | memory from the system, and back |
//! | `free.rs`, `checked_free.rs` | freeing a block, by its owner or by its addresses |
//! | `init_block.rs` | filling a new block, after a look at its poison |
//! | `find.rs`, `refill.rs`, `alloc.rs` | allocating a block |
//! | `tokens.rs`, `block.rs` | blocks without an owner for a while, and the owner |
//! | `copy.rs` | copying a block of bytes as a whole |
//! | `debugfs.rs`, `debugfs_show.rs`, `debugfs.c` | what pools there are, for people to read |
//! | `module_ref.rs`, `mark.rs` | how long the module stays; by what a pool is known to be one |
//! | `instance.rs` | a pool as the module keeps it |
//! | `pool.rs` | the public face |
//! | `managed.rs` | the variant that devres destroys, and on which buses |
//! | `c_pool.rs` | the interface for C |
//! | `helpers.c`, `refill_work.c`, `exports.c` | what Rust cannot do by itself |
//!
//! Nothing here may panic, so arithmetic on integers says what becomes of an overflow. It *wraps*
//! where an invariant or a type says that there is none, or where the difference of two addresses
//! is meant to; it *saturates* where the largest value is as good as a larger one; and it is
//! *checked* where neither holds, as with the sizes that a caller asks for.
//!
//! The design, with the argument for each memory ordering, is in `Documentation/`.

use kernel::prelude::*;

#[path = "dmapool/address_map.rs"]
mod address_map;
#[path = "dmapool/alloc.rs"]
mod alloc;
#[path = "dmapool/allocated.rs"]
mod allocated;
#[path = "dmapool/bitmap.rs"]
mod bitmap;
#[path = "dmapool/block.rs"]
mod block;
#[path = "dmapool/c_pool.rs"]
mod c_pool;
#[path = "dmapool/c_string.rs"]
mod c_string;
#[path = "dmapool/checked_free.rs"]
mod checked_free;
#[path = "dmapool/context.rs"]
mod context;
#[path = "dmapool/copy.rs"]
mod copy;
#[path = "dmapool/cpu_pages.rs"]
mod cpu_pages;
#[path = "dmapool/debugfs.rs"]
mod debugfs;
#[path = "dmapool/debugfs_show.rs"]
mod debugfs_show;
#[path = "dmapool/find.rs"]
mod find;
#[path = "dmapool/free.rs"]
mod free;
#[path = "dmapool/geometry.rs"]
mod geometry;
#[path = "dmapool/gfp.rs"]
mod gfp;
#[path = "dmapool/grow.rs"]
mod grow;
#[path = "dmapool/init.rs"]
mod init;
#[path = "dmapool/init_block.rs"]
mod init_block;
#[path = "dmapool/instance.rs"]
mod instance;
#[path = "dmapool/managed.rs"]
mod managed;
#[path = "dmapool/mark.rs"]
mod mark;
#[path = "dmapool/module_ref.rs"]
mod module_ref;
#[path = "dmapool/node.rs"]
mod node;
#[path = "dmapool/options.rs"]
mod options;
#[path = "dmapool/page.rs"]
mod page;
#[path = "dmapool/page_count.rs"]
mod page_count;
#[path = "dmapool/page_memory.rs"]
mod page_memory;
#[path = "dmapool/page_spec.rs"]
mod page_spec;
#[path = "dmapool/page_tree.rs"]
mod page_tree;
#[path = "dmapool/payload.rs"]
mod payload;
#[path = "dmapool/pool.rs"]
mod pool;
#[path = "dmapool/publish.rs"]
mod publish;
#[path = "dmapool/raw_pool.rs"]
mod raw_pool;
#[path = "dmapool/recent_pages.rs"]
mod recent_pages;
#[path = "dmapool/refill.rs"]
mod refill;
#[path = "dmapool/refill_work.rs"]
mod refill_work;
#[path = "dmapool/reserve.rs"]
mod reserve;
#[path = "dmapool/shrink.rs"]
mod shrink;
#[path = "dmapool/statistics.rs"]
mod statistics;
#[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
#[path = "dmapool/tests/mod.rs"]
mod tests;
#[path = "dmapool/token_count.rs"]
mod token_count;
#[path = "dmapool/tokens.rs"]
mod tokens;
#[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
#[path = "dmapool/unpublished.rs"]
mod unpublished;

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
pub use statistics::Statistics;
pub use tokens::RawBlock;

struct Module;

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: A module is loaded once, and nobody else can have called into it.
        unsafe { debugfs::init() };
        // The kernel leaves out parameters that it does not know, and only warns of them.
        let poison = if init::want_poison() { "Y" } else { "N" };
        pr_info!("loaded, poison={poison}\n");
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
}
