// SPDX-License-Identifier: GPL-2.0

//! What a pool is to do with all of its blocks: fill them with zeroes, as `init_on_alloc` and
//! `init_on_free` have it, and look for what the module was told to look for.

use super::super::sys::prelude::*;

extern "C" {
    // `dmapool/sys/helpers.c`
    fn rust_dmapool_want_init_on_alloc() -> bool;
    fn rust_dmapool_want_init_on_free() -> bool;
    // `module/module.c`, or `mm/dmapool_rust.c` in a tree
    static rust_dmapool_parameters: Parameters;
}

/// What the module was loaded with; as in C.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Parameters {
    /// Whether free blocks are filled with [`POISON_FREED`], and checked for it when they are
    /// allocated; as C's pools do with `CONFIG_SLUB_DEBUG_ON`.
    pub(crate) poison: bool,
    /// Whether each pool knows who has its blocks.
    pub(crate) track: bool,
    /// Bytes behind each block, if its boundary has room for them.
    pub(crate) redzone: u32,
    /// How many blocks of a pool wait after they were freed.
    pub(crate) quarantine: u32,
}

/// What the module was loaded with.
pub(crate) fn parameters() -> &'static Parameters {
    // SAFETY: Nobody changes them once the module is loaded.
    unsafe { &rust_dmapool_parameters }
}

impl Parameters {
    /// Whether what lies behind the end of a block is filled with [`RED_ZONE`], and checked for it
    /// when the block is freed.
    pub(crate) fn has_red_zones(&self) -> bool {
        self.poison || self.redzone != 0
    }

    /// Whether each block has a [`Track`](super::owner::Track).
    pub(crate) fn has_tracks(&self) -> bool {
        self.track || self.quarantine != 0
    }
}

/// The value of each byte of a free block, if blocks are poisoned.
pub(crate) const POISON_FREED: u8 = bindings::POOL_POISON_FREED as u8;

/// The value of each byte of a new block, if blocks are poisoned.
pub(crate) const POISON_ALLOCATED: u8 = bindings::POOL_POISON_ALLOCATED as u8;

/// The value of each byte between the end of a block and the next one, if blocks have red zones.
pub(crate) const RED_ZONE: u8 = 0xbb;

/// What is done with all blocks of a pool.
///
/// It is settled when the kernel boots and when the module is loaded, so a pool asks once.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    /// Whether something is done when a block is allocated without `__GFP_ZERO`.
    pub(crate) always: bool,
    /// Whether something is looked at or noted then.
    pub(crate) debug: bool,
    zero_on_alloc: bool,
    zero_on_free: bool,
}

impl Policy {
    pub(crate) fn new() -> Self {
        let parameters = parameters();
        let debug = parameters.has_red_zones() || parameters.has_tracks();
        // SAFETY: The functions have no requirements.
        let (zero_on_alloc, zero_on_free) = unsafe {
            (
                rust_dmapool_want_init_on_alloc(),
                rust_dmapool_want_init_on_free(),
            )
        };

        Self {
            always: zero_on_alloc || debug,
            debug,
            zero_on_alloc,
            zero_on_free,
        }
    }

    /// What a block is filled with that is allocated with `flags`, if there is anything to do.
    pub(crate) fn on_alloc(&self, flags: Flags) -> Option<u8> {
        if flags.contains(__GFP_ZERO) || self.zero_on_alloc {
            Some(0)
        } else {
            parameters().poison.then_some(POISON_ALLOCATED)
        }
    }

    /// What a block is filled with when it is freed.
    pub(crate) fn on_free(&self) -> Option<u8> {
        if parameters().poison {
            Some(POISON_FREED)
        } else {
            self.zero_on_free.then_some(0)
        }
    }
}
