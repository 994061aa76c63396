// SPDX-License-Identifier: GPL-2.0

//! What a pool writes into blocks by itself, when they are allocated and when they are freed:
//! zeroes, as `init_on_alloc` and `init_on_free` have it, or poison, which shows if somebody writes
//! to a block that is free.

use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

// `dmapool/helpers.c`
extern "C" {
    fn rust_dmapool_want_init_on_alloc() -> bool;
    fn rust_dmapool_want_init_on_free() -> bool;
    fn rust_dmapool_want_poison() -> bool;
}

/// The value of each byte of a free block, if blocks are poisoned.
pub(crate) const POISON_FREED: u8 = bindings::POOL_POISON_FREED as u8;

/// The value of each byte of a new block, if blocks are poisoned.
pub(crate) const POISON_ALLOCATED: u8 = bindings::POOL_POISON_ALLOCATED as u8;

/// Whether the module was loaded with `poison=1`.
pub(crate) fn want_poison() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_want_poison() }
}

/// What is done to all blocks of a pool.
///
/// `init_on_alloc` and `init_on_free` are settled when the kernel boots and poisoning when the
/// module is loaded, so a pool asks once.
#[derive(Clone, Copy)]
pub(crate) struct InitPolicy {
    /// Whether something is done when a block is allocated without `__GFP_ZERO`.
    pub(crate) always: bool,
    zero_on_alloc: bool,
    zero_on_free: bool,
    /// Whether free blocks are filled with [`POISON_FREED`], and checked for it when they are
    /// allocated; as C's pools do with `CONFIG_SLUB_DEBUG_ON`.
    pub(crate) poison: bool,
}

impl InitPolicy {
    pub(crate) fn new() -> Self {
        let poison = want_poison();
        // SAFETY: The functions have no requirements.
        let (zero_on_alloc, zero_on_free) = unsafe {
            (
                rust_dmapool_want_init_on_alloc(),
                rust_dmapool_want_init_on_free(),
            )
        };

        Self {
            always: zero_on_alloc || poison,
            zero_on_alloc,
            zero_on_free,
            poison,
        }
    }

    /// What a block is filled with when it is allocated; `zero` if the caller wants zeroes.
    pub(crate) fn on_alloc(&self, zero: bool) -> Option<u8> {
        if zero || self.zero_on_alloc {
            Some(0)
        } else {
            self.poison.then_some(POISON_ALLOCATED)
        }
    }

    /// What a block is filled with when it is freed.
    pub(crate) fn on_free(&self) -> Option<u8> {
        if self.poison {
            Some(POISON_FREED)
        } else {
            self.zero_on_free.then_some(0)
        }
    }
}

/// The offset of the first byte, of the `size` at `first`, that is not `value`.
///
/// # Safety
///
/// There must be that many bytes.
pub(crate) unsafe fn first_other(first: NonNull<u8>, size: usize, value: u8) -> Option<usize> {
    let first = first.as_ptr().cast_const().cast::<c_void>();
    // SAFETY: The caller vouches for `size` bytes at `first`.
    let other = NonNull::new(unsafe { bindings::memchr_inv(first, value.into(), size) })?;

    Some(other.addr().get().wrapping_sub(first.addr()))
}

/// Prints bytes in hexadecimal, as an error.
///
/// # Safety
///
/// There must be `size` bytes at `first`.
pub(crate) unsafe fn dump(first: NonNull<u8>, size: usize) {
    // SAFETY: The caller vouches for the bytes, and the strings are constants.
    unsafe {
        bindings::print_hex_dump(
            bindings::KERN_ERR.as_ptr().cast(),
            c"rust_dmapool: ".as_char_ptr(),
            bindings::DUMP_PREFIX_OFFSET as c_int,
            16,
            1,
            first.as_ptr().cast_const().cast(),
            size,
            true,
        )
    };
}
