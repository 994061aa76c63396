// SPDX-License-Identifier: GPL-2.0

//! What a caller's allocation flags mean for each of the things that a pool allocates: DMA memory,
//! and the slabs, chunks and tables that it keeps beside it.

use super::prelude::*;
use kernel::bindings::gfp_t;

// `Flags` is a `gfp_t` and nothing else, but does not say so.
static_assert!(size_of::<Flags>() == size_of::<gfp_t>());

const DIRECT_RECLAIM: gfp_t = 1 << bindings::___GFP_DIRECT_RECLAIM_BIT;
const COMP: gfp_t = 1 << bindings::___GFP_COMP_BIT;
const NOWARN: gfp_t = 1 << bindings::___GFP_NOWARN_BIT;

/// What is said of the contents or the place of memory, rather than how to get it.
const OF_THE_MEMORY: gfp_t = 1 << bindings::___GFP_ZERO_BIT
    | 1 << bindings::___GFP_DMA_BIT
    | 1 << bindings::___GFP_DMA32_BIT
    | 1 << bindings::___GFP_HIGHMEM_BIT
    | 1 << bindings::___GFP_MOVABLE_BIT
    | 1 << bindings::___GFP_RECLAIMABLE_BIT
    | COMP;

/// What makes the page allocator try hard.
const PERSISTENT: gfp_t =
    1 << bindings::___GFP_RETRY_MAYFAIL_BIT | 1 << bindings::___GFP_NOFAIL_BIT;

/// What keeps it from trying hard, and from saying so.
const MODEST: gfp_t = 1 << bindings::___GFP_NORETRY_BIT | NOWARN;

#[cfg(any(CONFIG_DEBUG_ATOMIC_SLEEP, CONFIG_LOCKDEP))]
extern "C" {
    // `dmapool/sys/helpers.c`
    fn rust_dmapool_might_alloc(gfp: gfp_t);
}

/// C's idea of `flags`.
#[inline]
pub(crate) fn to_raw(flags: Flags) -> gfp_t {
    // SAFETY: Of the same size, and without padding or invalid values.
    unsafe { core::mem::transmute(flags) }
}

/// Rust's idea of `flags`.
#[inline]
pub(crate) fn from_raw(flags: gfp_t) -> Flags {
    // SAFETY: As in `to_raw`.
    unsafe { core::mem::transmute(flags) }
}

/// Whether an allocation with `flags` may wait for memory; C's `gfpflags_allow_blocking()`.
pub(crate) fn may_block(flags: Flags) -> bool {
    to_raw(flags) & DIRECT_RECLAIM != 0
}

/// Tells the kernel's checkers what an allocation with `flags` may do: wait, and reclaim memory.
/// C's `might_alloc()`.
// Not inlined into users of this module: it is not exported.
#[cfg(any(CONFIG_DEBUG_ATOMIC_SLEEP, CONFIG_LOCKDEP))]
#[inline(never)]
pub(crate) fn might_alloc(flags: Flags) {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_might_alloc(to_raw(flags)) };
}

/// There is no checker.
#[cfg(not(any(CONFIG_DEBUG_ATOMIC_SLEEP, CONFIG_LOCKDEP)))]
#[inline(always)]
pub(crate) fn might_alloc(_flags: Flags) {}

/// `flags` as they are for slabs and the like, which are ordinary memory of the kernel.
///
/// `mm/dmapool.c` masks `__GFP_ZERO` for the same reason.
pub(crate) fn for_records(flags: Flags) -> Flags {
    from_raw(to_raw(flags) & !OF_THE_MEMORY)
}

/// `flags` as they are for DMA memory in pieces of `size` bytes.
///
/// `dma_alloc_coherent()` warns of `__GFP_COMP`, and the page allocator of sizes that it never has;
/// some devices get these from elsewhere.
pub(crate) fn for_dma(flags: Flags, size: usize) -> Flags {
    /// What the page allocator can have at most, with 4 KiB pages.
    const LARGE: usize = 4 << 20;
    let silent = if size > LARGE { NOWARN } else { 0 };

    from_raw(to_raw(flags) & !COMP | silent)
}

/// `flags` as they are for memory for which nobody is to be killed.
pub(crate) fn without_oom(flags: Flags) -> Flags {
    from_raw(to_raw(flags) | 1 << bindings::___GFP_RETRY_MAYFAIL_BIT)
}

/// `flags` as they are for memory that it would be nice to have: without retries and warnings.
pub(crate) fn without_effort(flags: Flags) -> Flags {
    from_raw(to_raw(flags) & !PERSISTENT | MODEST)
}
