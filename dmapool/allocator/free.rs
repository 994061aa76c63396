// SPDX-License-Identifier: GPL-2.0

//! A block that is allocated, and how it is freed: by its owner, or by its addresses, for callers
//! who may be wrong about them.

use super::super::sys::prelude::*;
use super::{
    super::sys::context,
    layout::Place,
    pool::RawPool,
    publish::publish_first_free,
    slab::Slab,
    word::mb_after_atomic, //
};

/// A block that belongs to whoever has this value. Dropping it does not free the block; a
/// [`Block`](crate::Block) does that.
///
/// # Invariants
///
/// The block of `slab` at `place` is allocated.
pub(crate) struct Allocated<'pool> {
    pub(crate) slab: Slab<'pool>,
    pub(crate) place: Place,
}

impl Allocated<'_> {
    /// The memory of the whole page.
    #[inline(always)]
    pub(crate) fn memory(&self) -> &Coherent<[u8]> {
        // SAFETY: By the type invariants the block is allocated, and stays so while this value is
        // borrowed: after `Allocated::free` nobody may use it.
        unsafe { self.slab.memory_at(self.place) }
    }

    /// The block's first byte.
    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.place.addresses(self.memory()).0
    }

    #[inline(always)]
    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.place.addresses(self.memory()).1
    }

    /// Fills all that belongs to the block with `value`: `stride` bytes.
    ///
    /// # Safety
    ///
    /// `stride` must be that of the pool's geometry.
    #[inline(always)]
    pub(crate) unsafe fn fill(&self, value: u8, stride: usize) {
        // SAFETY: By the type invariants the block is allocated, so its memory is there. Nobody
        // else writes to it, but for a device that the driver has told of it already or still.
        unsafe { self.as_ptr().write_bytes(value, stride) };
    }

    /// Frees the block. Any context.
    ///
    /// # Safety
    ///
    /// Neither the block nor this value must be used after this.
    #[inline(always)]
    pub(crate) unsafe fn free(&self) {
        if self.place.has_slow_free() {
            self.fill_freed();
        }
        // SAFETY: By the type invariants the block is allocated, and the caller does not use it
        // after this.
        if unsafe { self.slab.give(self.place.bit()) } {
            publish_first_free(self.slab);
        }
    }

    /// Fills the block with what its pool's free blocks hold.
    #[cold]
    #[inline(never)]
    fn fill_freed(&self) {
        RawPool::of(self.slab).fill_freed(self);
    }
}

/// Why a free by address was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFree {
    /// The pool has no memory at this DMA address.
    Foreign,
    /// The two addresses are not of the same byte.
    Mismatch,
    /// No block begins there.
    Inside,
    /// The block is free.
    AlreadyFree,
}

impl fmt::Display for BadFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "not of this pool",
            Self::Mismatch => "the DMA address is not that of the address",
            Self::Inside => "no block begins there",
            Self::AlreadyFree => "already free",
        })
    }
}

impl RawPool<'_> {
    /// Fills a block of this pool with what free blocks hold, if that is anything.
    pub(crate) fn fill_freed(&self, block: &Allocated<'_>) {
        if let Some(value) = self.init.on_free() {
            // SAFETY: That is how much belongs to each of this pool's blocks.
            unsafe { block.fill(value, self.geometry().stride()) };
        }
    }

    /// Frees the block that is at `address` for the CPU and at `dma` for the device.
    ///
    /// Any context; a few steps, however many pages there are.
    ///
    /// # Errors
    ///
    /// If there is no such block or it is free, [`BadFree`] says why, and so does the log. Nothing
    /// has changed then.
    ///
    /// # Safety
    ///
    /// - Frees of the pool must be checked.
    /// - If there is such a block and it is allocated, it must be the caller's, and not be used
    ///   after this.
    #[inline(always)]
    pub(crate) unsafe fn free_by_address(
        &self,
        address: *mut u8,
        dma: DmaAddress,
    ) -> Result<(), BadFree> {
        // SAFETY: By the type invariants there is a map if frees are checked.
        let map = unsafe { self.by_address.as_ref().unwrap_unchecked() };

        if let Some(entry) = map.first(self.number_of(dma)) {
            let (slab, page) = entry.page();
            // SAFETY: The page is in the map.
            let memory = unsafe { slab.memory(page) };
            // An address below the page wraps to a distance at which no block begins.
            let offset = dma.wrapping_sub(memory.dma_address());
            // CAST: Both have 64 bits.
            let begin = address.wrapping_sub(offset as usize);
            // CAST: The index of a block fits a `u32`.
            let bit_of = |index| self.layout.first_bit(page) | index as u32;

            if begin == memory.as_mut_ptr().cast() {
                let index = self.geometry().index_in_dense(offset);
                if index < self.layout.plain_blocks.into() {
                    // SAFETY: There is such a block, and the caller does not use it after this.
                    return unsafe { try_free(slab, bit_of(index)) };
                }
                let index = self.geometry().index_with_gaps(offset);
                if index < self.layout.plain_with_gaps.into() {
                    // SAFETY: As above.
                    return unsafe { try_free(slab, bit_of(index)) };
                }
            }
        }
        // SAFETY: The caller vouches for the same.
        unsafe { self.find_and_free(address, dma) }
    }

    /// Frees the block, or finds out why it cannot be freed.
    ///
    /// # Safety
    ///
    /// As [`RawPool::free_by_address`].
    #[cold]
    #[inline(never)]
    unsafe fn find_and_free(&self, address: *mut u8, dma: DmaAddress) -> Result<(), BadFree> {
        let (slab, bit) = self
            .find_block(address, dma)
            .map_err(|reason| self.report_bad_free(address, dma, reason))?;

        self.fill_if_allocated(slab, bit);
        // SAFETY: There is such a block, and the caller does not use it after this.
        unsafe { try_free(slab, bit) }
    }

    /// The slab and the bit of the block at these addresses.
    fn find_block(&self, address: *mut u8, dma: DmaAddress) -> Result<(Slab<'_>, u32), BadFree> {
        let find = || self.find_page(dma);
        // Who has a block has seen that it exists, by a read that orders no other one. So there may
        // have been no entry yet when this thread looked. After the barrier it looks again.
        let look_again = || {
            smp_mb(Full);
            find()
        };
        let (slab, page, offset) = find().or_else(look_again).ok_or(BadFree::Foreign)?;
        // SAFETY: The page is in the map.
        let first = unsafe { slab.memory(page) }.as_mut_ptr().cast::<u8>();
        // CAST: Both have 64 bits.
        if first.wrapping_add(offset as usize) != address {
            return Err(BadFree::Mismatch);
        }
        let bit = self.layout.bit_at(page, offset).ok_or(BadFree::Inside)?;

        Ok((slab, bit))
    }

    /// Fills a block that is about to be freed with what free blocks hold; not if it is free, and
    /// maybe somebody else's by now.
    fn fill_if_allocated(&self, slab: Slab<'_>, bit: u32) {
        if self.init.on_free().is_some() && slab.is_allocated(bit, &self.layout) {
            let place = self.layout.place_of(bit, 0);

            // INVARIANT: The block is allocated, and by the requirements of the free the caller's.
            self.fill_freed(&Allocated { slab, place });
        }
    }

    /// Says why a free was refused, and returns it.
    #[cold]
    #[inline(never)]
    fn report_bad_free(&self, address: *mut u8, dma: DmaAddress, reason: BadFree) -> BadFree {
        if context::report_ratelimit() {
            self.err(fmt!("cannot free {address:p}/{dma:#x}: {reason}"));
        }
        reason
    }
}

/// Frees the block of `bit`, if it is allocated.
///
/// # Safety
///
/// As [`Slab::try_give`].
#[inline(always)]
unsafe fn try_free(slab: Slab<'_>, bit: u32) -> Result<(), BadFree> {
    // SAFETY: The caller vouches for the same.
    match unsafe { slab.try_give(bit) } {
        Some(false) => Ok(()),
        Some(true) => {
            publish_first_free(slab);
            Ok(())
        }
        None => Err(already_free(slab, bit)),
    }
}

/// Reports that the block of `bit` was freed while it was free. What a caller would have to keep
/// for that, the slab knows.
#[cold]
#[inline(never)]
fn already_free(slab: Slab<'_>, bit: u32) -> BadFree {
    // Whoever frees a free block has acquired no bit. They have come to the slab by dependency from
    // the map, which does not reach to the chunk. So the free that was refused is made a full
    // barrier between the read of the map and what follows.
    mb_after_atomic();
    let pool = RawPool::of(slab);
    // INVARIANT: This is not allocated, but its page is in the map.
    let block = Allocated {
        slab,
        place: pool.layout.place_of(bit, 0),
    };

    pool.report_bad_free(block.as_ptr(), block.dma_address(), BadFree::AlreadyFree)
}
