// SPDX-License-Identifier: GPL-2.0

//! What the index needs, the bits of allocation flags, poisoning, which is off, and the operations
//! that [`Atomic`](crate::sync::atomic::Atomic) lacks.

use crate::sync::atomic::{
    Relaxed,
    Release,
    Volatile, //
};
pub use crate::xarray::{
    xa_destroy,
    xa_load,
    xarray, //
};
use core::ffi::{
    c_char,
    c_int,
    c_void, //
};

#[allow(non_camel_case_types)] // As in C.
pub type gfp_t = u32;

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

/// # Safety
///
/// None here; it is that of a pointer.
pub unsafe fn atomic64_fetch_or_release(mask: i64, word: Volatile<'_, u64>) -> i64 {
    word.fetch_or(mask as u64, Release) as i64
}

/// For mutations.
///
/// # Safety
///
/// As above.
pub unsafe fn atomic64_fetch_or_relaxed(mask: i64, word: Volatile<'_, u64>) -> i64 {
    word.fetch_or(mask as u64, Relaxed) as i64
}
