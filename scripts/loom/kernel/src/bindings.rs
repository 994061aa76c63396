// SPDX-License-Identifier: GPL-2.0

//! What the interface for C needs, the bits of allocation flags, poisoning, which is off, and the
//! operations that [`Atomic`](crate::sync::atomic::Atomic) lacks.

pub use crate::sync::atomic::{
    atomic64_fetch_andnot_acquire,
    atomic64_fetch_andnot_relaxed,
    atomic64_fetch_or_relaxed,
    atomic64_fetch_or_release, //
};
use core::ffi::{
    c_char,
    c_int,
    c_void, //
};

#[allow(non_camel_case_types)] // As in C.
pub type gfp_t = u32;
#[allow(non_camel_case_types)] // As in C.
pub type dma_addr_t = u64;

#[repr(C)]
#[allow(non_camel_case_types)] // As in C.
pub struct list_head {
    pub next: *mut list_head,
    pub prev: *mut list_head,
}

#[repr(C)]
#[allow(non_camel_case_types)] // As in C.
pub struct device {
    pub dma_pools: list_head,
    pub coherent_dma_mask: u64,
}

/// What stands behind a pool in C.
#[allow(non_camel_case_types)] // As in C.
pub enum dma_pool {}

pub const NUMA_NO_NODE: c_int = -1;

pub const ___GFP_DMA_BIT: u32 = 0;
pub const ___GFP_HIGHMEM_BIT: u32 = 1;
pub const ___GFP_DMA32_BIT: u32 = 2;
pub const ___GFP_MOVABLE_BIT: u32 = 3;
pub const ___GFP_RECLAIMABLE_BIT: u32 = 4;
pub const ___GFP_ZERO_BIT: u32 = 8;
pub const ___GFP_DIRECT_RECLAIM_BIT: u32 = 10;
pub const ___GFP_KSWAPD_RECLAIM_BIT: u32 = 11;
pub const ___GFP_NOWARN_BIT: u32 = 13;
pub const ___GFP_RETRY_MAYFAIL_BIT: u32 = 14;
pub const ___GFP_NOFAIL_BIT: u32 = 15;
pub const ___GFP_NORETRY_BIT: u32 = 16;
pub const ___GFP_COMP_BIT: u32 = 18;

pub const GFP_KERNEL: gfp_t = 1 << ___GFP_DIRECT_RECLAIM_BIT | 1 << ___GFP_KSWAPD_RECLAIM_BIT;

pub const POOL_POISON_FREED: u32 = 0xa7;
pub const POOL_POISON_ALLOCATED: u32 = 0xa9;
pub const KERN_ERR: &[u8; 3] = b"\x013\0";
pub const DUMP_PREFIX_OFFSET: u32 = 2;

/// # Safety
///
/// Not to be called.
pub unsafe fn memchr_inv(_first: *const c_void, _value: c_int, _size: usize) -> *mut c_void {
    unreachable!()
}

/// # Safety
///
/// Not to be called.
#[allow(clippy::too_many_arguments)] // As in C.
pub unsafe fn print_hex_dump(
    _level: *const c_char,
    _prefix: *const c_char,
    _prefix_type: c_int,
    _rowsize: c_int,
    _groupsize: c_int,
    _first: *const c_void,
    _size: usize,
    _ascii: bool,
) {
    unreachable!()
}

/// # Safety
///
/// There must be `len` bytes at `buf`.
pub unsafe fn get_random_bytes(buf: *mut c_void, len: usize) {
    // Not random, but no token depends on that.
    // SAFETY: The caller vouches for that many bytes.
    unsafe { buf.cast::<u8>().write_bytes(1, len) };
}

extern "C" {
    pub fn strlen(string: *const c_char) -> usize;

    // `mm/dmapool.c`, where that is linked.
    pub fn dma_pool_create_node(
        name: *const c_char,
        dev: *mut device,
        size: usize,
        align: usize,
        boundary: usize,
        node: c_int,
    ) -> *mut dma_pool;
    pub fn dma_pool_destroy(pool: *mut dma_pool);
    pub fn dma_pool_alloc(
        pool: *mut dma_pool,
        flags: gfp_t,
        handle: *mut dma_addr_t,
    ) -> *mut c_void;
    pub fn dma_pool_free(pool: *mut dma_pool, address: *mut c_void, dma: dma_addr_t);
}

/// # Safety
///
/// Not to be called: there is no devres.
pub unsafe fn devm_add_action_or_reset(
    _dev: *mut device,
    _action: Option<unsafe extern "C" fn(*mut c_void)>,
    _data: *mut c_void,
) -> c_int {
    unreachable!()
}

/// # Safety
///
/// Not to be called: there is no devres.
pub unsafe fn devm_release_action(
    _dev: *mut device,
    _action: Option<unsafe extern "C" fn(*mut c_void)>,
    _data: *mut c_void,
) {
    unreachable!()
}
