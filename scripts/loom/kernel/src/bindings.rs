// SPDX-License-Identifier: GPL-2.0

//! What poisoning needs, which is off.

use core::ffi::{
    c_char,
    c_int,
    c_void, //
};

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
