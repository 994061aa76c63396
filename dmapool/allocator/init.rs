// SPDX-License-Identifier: GPL-2.0

//! What a pool is to write into blocks by itself: zeroes, as `init_on_alloc` and `init_on_free`
//! have it, or poison.

use super::super::sys::prelude::*;

// `dmapool/sys/helpers.c`
extern "C" {
    fn rust_dmapool_want_init_on_alloc() -> bool;
    fn rust_dmapool_want_init_on_free() -> bool;
    // `module/module.c`, or `mm/dmapool_rust.c` in a tree
    static rust_dmapool_parameters: Parameters;
}

/// What the module was loaded with; as in C.
#[repr(C)]
pub(crate) struct Parameters {
    pub(crate) poison: bool,
    pub(crate) track: bool,
    /// In bytes.
    pub(crate) redzone: u32,
    /// In blocks.
    pub(crate) quarantine: u32,
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |on| if on { "Y" } else { "N" };

        f.write_fmt(fmt!(
            "poison={} track={} redzone={} quarantine={}",
            yes(self.poison),
            yes(self.track),
            self.redzone,
            self.quarantine
        ))
    }
}

/// What the module was loaded with.
pub(crate) fn parameters() -> &'static Parameters {
    // SAFETY: Nobody changes them once the module is loaded.
    unsafe { &rust_dmapool_parameters }
}

/// The value of each byte of a free block, if blocks are poisoned.
pub(crate) const POISON_FREED: u8 = bindings::POOL_POISON_FREED as u8;

/// The value of each byte of a new block, if blocks are poisoned.
pub(crate) const POISON_ALLOCATED: u8 = bindings::POOL_POISON_ALLOCATED as u8;

/// The value of each byte between the end of a block and the next one, if blocks have red zones.
pub(crate) const RED_ZONE: u8 = 0xbb;

/// What is done to all blocks of a pool.
///
/// `init_on_alloc` and `init_on_free` are settled when the kernel boots and poisoning when the
/// module is loaded, so a pool asks once.
#[derive(Clone, Copy)]
pub(crate) struct InitPolicy {
    /// Whether something is done when a block is allocated without `__GFP_ZERO`.
    pub(crate) always: bool,
    /// Whether something is looked at or noted then.
    pub(crate) debug: bool,
    zero_on_alloc: bool,
    zero_on_free: bool,
    /// Whether free blocks are filled with [`POISON_FREED`], and checked for it when they are
    /// allocated; as C's pools do with `CONFIG_SLUB_DEBUG_ON`.
    pub(crate) poison: bool,
    /// Whether each pool knows who has its blocks.
    pub(crate) track: bool,
    /// Whether what lies behind the end of a block is filled with [`RED_ZONE`], and checked for it
    /// when the block is freed.
    pub(crate) red_zone: bool,
    /// How many blocks wait after they were freed.
    pub(crate) quarantine: u32,
}

impl InitPolicy {
    pub(crate) fn new() -> Self {
        let &Parameters {
            poison,
            track,
            redzone,
            quarantine,
        } = parameters();
        // SAFETY: The functions have no requirements.
        let (zero_on_alloc, zero_on_free) = unsafe {
            (
                rust_dmapool_want_init_on_alloc(),
                rust_dmapool_want_init_on_free(),
            )
        };

        let debug = poison || track || redzone != 0 || quarantine != 0;

        Self {
            always: zero_on_alloc || debug,
            debug,
            zero_on_alloc,
            zero_on_free,
            poison,
            track,
            red_zone: poison || redzone != 0,
            quarantine,
        }
    }

    /// Whether each block has a [`Track`](super::owner::Track).
    pub(crate) fn has_tracks(&self) -> bool {
        self.track || self.quarantine != 0
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
