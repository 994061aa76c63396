// SPDX-License-Identifier: GPL-2.0

//! A block that is allocated, and how it is freed: by its owner, or by its addresses, for callers
//! who may be wrong about them.

use super::super::sys::prelude::*;
use super::{
    super::sys::context,
    layout::{
        Place,
        SlabLayout, //
    },
    owner::Track,
    pool::RawPool,
    publish::publish_first_free,
    quarantine::Quarantine,
    slab::Slab,
    trace,
    word::mb_after_atomic, //
};

/// A block that belongs to whoever has this value. Dropping it does not free the block; a
/// [`Block`] does that.
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

    /// The block's first byte, and its address for the device.
    #[inline(always)]
    pub(crate) fn addresses(&self) -> (*mut u8, DmaAddress) {
        self.place.addresses(self.memory())
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.addresses().0
    }

    #[inline(always)]
    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.addresses().1
    }

    /// Frees the block. Any context.
    ///
    /// # Safety
    ///
    /// Neither the block nor this value must be used after this.
    #[inline(always)]
    pub(crate) unsafe fn free(&self) {
        // SAFETY: The caller does not use the block any more.
        unsafe {
            if trace::free::is_on() || self.place.has_slow_free() {
                return self.free_slowly();
            }
            self.give();
        }
    }

    /// Gives the bit back. Any context.
    ///
    /// # Safety
    ///
    /// As [`Allocated::free`].
    #[inline(always)]
    pub(crate) unsafe fn give(&self) {
        // SAFETY: By the type invariants the block is allocated, and the caller does not use it
        // after this.
        if unsafe { self.slab.give(self.place.bit()) } {
            publish_first_free(self.slab);
        }
    }

    /// Frees the block where there is more to that than to give its bit back.
    ///
    /// # Safety
    ///
    /// As [`Allocated::free`].
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(&self) {
        let pool = RawPool::of(self.slab);

        trace::free::call(pool, self.as_ptr(), self.dma_address());
        if let Some(track) = self.track(&pool.layout) {
            track.end();
        }
        // SAFETY: The caller vouches for the same.
        unsafe { pool.free_last(Self { ..*self }) };
    }

    /// The block's bit that is none of a twin.
    pub(crate) fn bit(&self, layout: &SlabLayout) -> u32 {
        self.place.bit() & !layout.twin
    }

    /// What is noted of the block's owner, if anything.
    pub(crate) fn track(&self, layout: &SlabLayout) -> Option<&Track> {
        self.slab.track_of(self.bit(layout), layout)
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
    /// Which block `block` is, counted through all slabs, if that is a number of 32 bits.
    pub(crate) fn name_of(&self, block: &Allocated<'_>) -> Option<u32> {
        // Not an "or": a slab need not have a power of two of bits.
        block
            .slab
            .number()
            .checked_mul(self.layout.bits())?
            .checked_add(block.bit(&self.layout))
    }

    /// The number of the slab, and the bit in there, of the block with that name.
    pub(crate) fn slab_and_bit(&self, name: u32) -> Option<(u32, u32)> {
        let bits = self.layout.bits();

        Some((name.checked_div(bits)?, name.checked_rem(bits)?))
    }

    /// Frees all blocks that wait.
    pub(crate) fn end_quarantine(&self) {
        for block in self.take_waiting() {
            // SAFETY: It was taken out, and is not used any more.
            unsafe { block.give() };
        }
    }

    /// Takes all blocks out that wait.
    pub(crate) fn take_waiting(&self) -> impl Iterator<Item = Allocated<'_>> {
        let waiting = self.quarantine.iter().flat_map(Quarantine::take_all);

        // SAFETY: They were taken out.
        waiting.filter_map(|name| unsafe { self.named(name) })
    }

    /// The block with that name, which has waited.
    ///
    /// # Safety
    ///
    /// The caller must have taken it out of the quarantine.
    unsafe fn named(&self, name: u32) -> Option<Allocated<'_>> {
        let (number, bit) = self.slab_and_bit(name)?;
        let mut chunks = Iterator::chain(self.chunks.iter(), self.reserve.iter());
        let slab = chunks.find_map(|chunk| chunk.slab_numbered(number))?;

        // INVARIANT: It was taken out, so this thread has it.
        Some(Allocated {
            slab,
            place: self.layout.place_of(bit, 0),
        })
    }

    /// Fills `block` with what free blocks hold, and frees it or, if it is to wait, the one that
    /// has waited longest.
    ///
    /// # Safety
    ///
    /// As [`Allocated::free`].
    unsafe fn free_last(&self, block: Allocated<'_>) {
        // SAFETY: The caller vouches for the block.
        unsafe { self.fill_freed(&block) };
        // Blocks of the reserve do not wait: it is there for those who cannot.
        let name = (!block.slab.chunk().is_of_reserve()).then(|| self.name_of(&block));
        let free = match (&self.quarantine, name.flatten()) {
            (Some(quarantine), Some(name)) => {
                let waited = quarantine.exchange(name);

                // SAFETY: It was taken out.
                waited.and_then(|name| unsafe { self.named(name) })
            }
            _ => Some(block),
        };
        if let Some(block) = free {
            // SAFETY: The caller vouches for the one, and nobody has the other one.
            unsafe { block.give() };
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
        if trace::free::is_on() {
            // SAFETY: The caller vouches for the same.
            return unsafe { self.find_and_free(address, dma) };
        }
        // SAFETY: By the type invariants there is a map if frees are checked.
        let map = unsafe { self.by_address.as_ref().unwrap_unchecked() };

        if let Some((slab, page)) = map.first(self.number_of(dma)) {
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
            .map_err(|reason| self.report_bad_free(address, dma, reason, None))?;

        // INVARIANT: By the requirements it is the caller's if it is allocated: that is looked at.
        let block = Allocated {
            slab,
            place: self.layout.place_of(bit, 0),
        };

        let Some(track) = block.track(&self.layout) else {
            if slab.is_allocated(bit, &self.layout) {
                trace::free::call(self, address, dma);
                // SAFETY: By the requirements it is the caller's.
                unsafe { self.fill_freed(&block) };
            }
            // SAFETY: There is such a block, and the caller does not use it after this.
            return unsafe { try_free(slab, bit) };
        };
        if !track.end() {
            return Err(already_free(slab, bit));
        }
        trace::free::call(self, address, dma);
        // SAFETY: It had an owner, who has called this.
        unsafe { self.free_last(block) };
        Ok(())
    }

    /// The slab and the bit of the block at these addresses.
    pub(crate) fn find_block(
        &self,
        address: *mut u8,
        dma: DmaAddress,
    ) -> Result<(Slab<'_>, u32), BadFree> {
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

    /// Says why a free was refused, and returns it.
    #[cold]
    #[inline(never)]
    fn report_bad_free(
        &self,
        address: *mut u8,
        dma: DmaAddress,
        reason: BadFree,
        block: Option<(Slab<'_>, u32)>,
    ) -> BadFree {
        trace::bad_free::call(self, address, dma, reason as u32);
        if context::report_ratelimit() {
            self.err(fmt!("cannot free {address:p}/{dma:#x}: {reason}"));
            if let Some((slab, bit)) = block {
                self.report_owner(slab, bit, dma);
            }
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
    let place = pool.layout.place_of(bit, 0);
    // SAFETY: Its page is in the map.
    let (address, dma) = place.addresses(unsafe { slab.memory_at(place) });

    pool.report_bad_free(address, dma, BadFree::AlreadyFree, Some((slab, bit)))
}
