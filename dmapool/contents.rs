// SPDX-License-Identifier: GPL-2.0

//! What a pool writes into blocks by itself, when they are allocated and when they are freed:
//! zeroes, or values that show who writes to a block that is free.

use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

// `dmapool/helpers.c`
extern "C" {
    fn rust_dmapool_want_init_on_alloc() -> bool;
    fn rust_dmapool_want_init_on_free() -> bool;
}

/// In each byte of a free block, if blocks are poisoned.
pub(crate) const FREED: u8 = bindings::POOL_POISON_FREED as u8;

/// In each byte of a new block, if blocks are poisoned.
pub(crate) const ALLOCATED: u8 = bindings::POOL_POISON_ALLOCATED as u8;

/// What happens to all blocks of a pool.
///
/// `init_on_alloc` and `init_on_free` are settled when the kernel boots and poisoning when the
/// module is loaded, so a pool asks once.
#[derive(Clone, Copy)]
pub(crate) struct Contents {
    /// Whether there is something to do when a block is allocated, if nobody asked for it.
    pub(crate) on_alloc: bool,
    zero_on_alloc: bool,
    zero_on_free: bool,
    /// Whether free blocks are filled with a value that is looked for when they are allocated; as
    /// C's pools do with `CONFIG_SLUB_DEBUG_ON`.
    pub(crate) poison: bool,
}

impl Contents {
    pub(crate) fn new(poison: bool) -> Self {
        // SAFETY: The function has no requirements.
        let zero_on_alloc = unsafe { rust_dmapool_want_init_on_alloc() };

        Self {
            on_alloc: zero_on_alloc || poison,
            zero_on_alloc,
            // SAFETY: As above.
            zero_on_free: unsafe { rust_dmapool_want_init_on_free() },
            poison,
        }
    }

    /// What a block is filled with when it is allocated, `zero` if somebody wants zeroes.
    pub(crate) fn when_allocated(&self, zero: bool) -> Option<u8> {
        if zero || self.zero_on_alloc {
            Some(0)
        } else {
            self.poison.then_some(ALLOCATED)
        }
    }

    /// What a block is filled with when it is freed.
    pub(crate) fn when_freed(&self) -> Option<u8> {
        if self.poison {
            Some(FREED)
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
    // SAFETY: By the requirements of this function.
    let other = NonNull::new(unsafe { bindings::memchr_inv(first, value.into(), size) })?;

    Some(other.addr().get().wrapping_sub(first.addr()))
}

/// Prints bytes in hexadecimal, as an error.
///
/// # Safety
///
/// There must be `size` bytes at `first`.
pub(crate) unsafe fn dump(first: NonNull<u8>, size: usize) {
    // SAFETY: By the requirements of this function; the strings are constants.
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
