// SPDX-License-Identifier: GPL-2.0

//! What a pool is to write into blocks by itself: zeroes, as `init_on_alloc` and `init_on_free`
//! have it, or poison.

use super::super::sys::prelude::*;

// `dmapool/sys/helpers.c`
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

    /// Whether a block that is allocated with `flags` is filled with zeroes.
    pub(crate) fn zeroes(&self, flags: Flags) -> bool {
        flags.contains(__GFP_ZERO) || self.zero_on_alloc
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
