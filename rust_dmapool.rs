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
//!     let pool = Pool::<Descriptor>::new_managed(pdev, c"descriptors", Geometry::of())?;
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
//! | `dma_pool_create()` | [`Pool::new`], with a [`Geometry`] for size, alignment and boundary |
//! | `dma_pool_create_node()` | [`Pool::new_with`], with [`Options::node`] |
//! | `dmam_pool_create()` | [`Pool::new_managed`] |
//! | `dma_pool_alloc()` | [`Pool::alloc`]; then [`Block::dma_address`], [`Block::as_ptr`] |
//! | `dma_pool_zalloc()` | [`Pool::zalloc`] |
//! | `dma_pool_free()` | nothing: the [`Block`] is dropped |
//! | `dma_pool_destroy()` | nothing: the [`Pool`] is dropped |
//! | `dmam_pool_destroy()` | nothing, or [`Managed::destroy`] to have it end earlier |
//!
//! Without a counterpart in C:
//!
//! | Rust | what it is for |
//! | --- | --- |
//! | [`Pool::alloc_bulk`] | many blocks, all or none |
//! | [`Pool::prefill`] | growing beforehand, where the caller may sleep |
//! | [`Pool::shrink`] | giving pages without allocated blocks back |
//! | [`Options::min_nr`] | a reserve for callers who may not wait |
//! | [`Block::into_raw`], [`Pool::from_raw`] | a block as a number that is good once |
//! | [`Block::into_address`], [`Pool::from_address`] | a block by the address that a device names |
//! | [`lend_vectors`] | interrupt handlers in the driver's data, with blocks |
//! | [`Managed::lend_with`] | looking at blocks before the pool is kept |
//! | [`Pool::new_managed_for_parent`] | a pool of the device that created an auxiliary one |
//! | [`RevocablePool`], [`HeldBlock`] | pools and blocks that borrow nothing |
//! | [`WithState`] | what the driver has beside each block, out of the device's reach |
//! | [`Pool::statistics`] | what the pool holds |
//!
//! # Which kind of pool
//!
//! [`Pool::new_managed`] where it compiles, which is in `probe()` on most buses
//! ([`DataBeforeDevres`]): the driver core destroys the pool after the driver's data is gone, so
//! the data may hold blocks, beside a reference to their pool ([`Managed::lend`]).
//!
//! [`Pool::new`] everywhere else, and for a pool that is to end before the driver detaches. The
//! driver keeps the pool in its data. A block borrows from there, so it can live in a function, but
//! not beside the pool; what is kept there are tokens ([`Block::into_raw`]).
//!
//! [`Pool::new_revocable`] for whoever may outlive the binding: open files, work items, statics.
//! They have a reference that gives access to the pool while the device is bound.
//!
//! # What the device sees, and when
//!
//! A pool orders the accesses of CPUs: whoever allocates a block sees what its previous owner did.
//! It knows nothing of the device. Accesses to a block are volatile, so the compiler keeps their
//! order, but they are not barriers, which are the driver's duty, as in C
//! (`Documentation/memory-barriers.txt` of the kernel):
//!
//! | the driver | what it needs in between |
//! | --- | --- |
//! | writes a block, then a register by `write32()` | nothing: it waits for all writes |
//! | writes a block, then a register by `relaxed().write32()` | `mb(Write)`, not `dma_mb()` |
//! | writes a block, then a flag that hands it to the device | `dma_mb(Write)`, C's `dma_wmb()` |
//! | reads a register by `read32()`, then what the device wrote | nothing: later reads wait |
//! | reads a register by `relaxed().read32()`, then what the device wrote | `mb(Read)` |
//! | reads a flag, then what the device wrote before it | `dma_mb(Read)`, C's `dma_rmb()` |
//!
//! The barriers are in [`kernel::sync::barrier`]. On x86 those of `dma_mb()` are for the compiler
//! alone, so a driver that lacks them works there, and fails on arm64. A ring of descriptors, where
//! a bit says whose a descriptor is, needs both:
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
//! All of it is in `dmapool/`, whose `mod.rs` is the table of contents. This file is the module.
//!
//! Nothing here may panic, so arithmetic on integers says what becomes of an overflow. It *wraps*
//! where an invariant or a type says that there is none, or where the difference of two addresses
//! is meant to; it *saturates* where the largest value is as good as a larger one; and it is
//! *checked* where neither holds, as with the sizes that a caller asks for.
//!
//! The design, with the argument for each memory ordering, is in `Documentation/design.rst`.

use dmapool::{
    allocator::{
        memory::pages_held,
        policy::parameters, //
    },
    instance::debugfs::{
        rust_dmapool_debugfs_exit,
        rust_dmapool_debugfs_init, //
    },
    module::wait_for_last, //
};
use kernel::prelude::*;

mod dmapool;

pub use dmapool::*;

struct Module;

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: The function has no requirements but its context.
        unsafe { rust_dmapool_debugfs_init() };
        // The kernel leaves out parameters that it does not know, and only warns of them.
        pr_info!("loaded with {:?}\n", parameters());
        Ok(Self)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        wait_for_last();
        // SAFETY: What `init` has made.
        unsafe { rust_dmapool_debugfs_exit() };
        pr_info!("unloaded, {} pages kept for devices\n", pages_held());
    }
}

module! {
    type: Module,
    name: "rust_dmapool",
    authors: ["The rust_dmapool authors"],
    description: "DMA pools for Rust drivers",
    license: "GPL v2",
}
