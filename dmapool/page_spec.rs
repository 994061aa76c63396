// SPDX-License-Identifier: GPL-2.0

//! What all pages of a pool have in common: their geometry, and which bits stand for a block.
//!
//! In most pools two bits stand for a block, its *twins*, which lie in different cache lines. While
//! the block is free one of them is set, and while it is allocated none. It may be given back by
//! either. As a rule that is the bit by which it was taken: so blocks are used again while they are
//! in the CPU's cache. But where one CPU allocates what another one frees, both would write to the
//! same line all the time. A CPU that notices this has its blocks given back by their other twin:
//! it takes bits of one word until there are none left, and then goes on to their twins, which
//! others have set meanwhile.
//!
//! A single bit stands for a block
//!
//! - if frees are checked: one operation on one word must tell whether the block is free;
//! - if a page has more blocks than there are bits in a cache line.

use crate::geometry::Geometry;

/// How far apart twins are, in bits: a cache line.
pub(crate) const TWIN: u32 = 512;

/// What all pages of a pool have in common.
///
/// # Invariants
///
/// If `index_mask` is not all ones, a page has at most [`TWIN`] blocks.
#[derive(Clone, Copy)]
pub(crate) struct PageSpec {
    pub(crate) geometry: Geometry,
    /// Whether blocks can go out as tokens.
    pub(crate) tokens: bool,
    /// What leaves of the number of a bit the index of its block.
    index_mask: u32,
    /// Times an index, what a [`Place`] says of the distance in a dense geometry.
    step: u64,
    /// What marks a place whose block is to be given back by the bit by which it was taken:
    /// [`SLOW_FREE`] if there is more to do when a block is freed than that, or 0.
    pub(crate) marks: u64,
}

impl PageSpec {
    /// `single_bits`: whether there must be no twins. `slow_free`: whether there is more to do when
    /// a block is freed than to give its bit back.
    pub(crate) fn new(
        geometry: Geometry,
        tokens: bool,
        single_bits: bool,
        slow_free: bool,
    ) -> Self {
        // INVARIANT: Only if there are no more blocks.
        let index_mask = if single_bits || geometry.most_blocks() > TWIN {
            u32::MAX
        } else {
            TWIN - 1
        };

        Self {
            geometry,
            tokens,
            index_mask,
            // CAST: A stride fits a `u32`.
            step: (geometry.stride() as u64) << u32::BITS,
            marks: if slow_free { SLOW_FREE } else { 0 },
        }
    }

    pub(crate) fn has_twins(&self) -> bool {
        self.index_mask != u32::MAX
    }

    /// The index of the block for which `bit` stands.
    #[inline(always)]
    pub(crate) fn index_of(&self, bit: u32) -> u32 {
        bit & self.index_mask
    }

    /// What marks a place whose block is to be given back by its other twin, if there are twins.
    pub(crate) fn marks_for_twins(&self) -> u64 {
        if self.has_twins() {
            self.marks | u64::from(TWIN)
        } else {
            self.marks
        }
    }

    /// Where the block lies for which `bit` stands. `marks` are [`PageSpec::marks`], or those for
    /// twins.
    #[inline]
    pub(crate) fn place_of(&self, bit: u32, marks: u64) -> Place {
        let offset = self.geometry.offset_of(self.index_of(bit));

        Place::new(u64::from(offset) << u32::BITS, bit, marks)
    }

    /// The same for a dense geometry.
    #[inline(always)]
    pub(crate) fn place_in_dense(&self, bit: u32, marks: u64) -> Place {
        let index = u64::from(self.index_of(bit));

        Place::new(index.wrapping_mul(self.step), bit, marks)
    }

    /// The same for a dense geometry and single bits, for somebody who frees by address.
    #[inline(always)]
    pub(crate) fn place_of_single(&self, index: u32) -> Place {
        Place::new(u64::from(index).wrapping_mul(self.step), index, 0)
    }
}

/// The place of a block in its page: its distance from the beginning in bytes, and which bit to
/// give back when it is freed; and whether there is more to do then.
///
/// All in one integer, so that a block is two registers: the distance in the upper half, in the
/// lower one the bit, and [`SLOW_FREE`] on top of that. A free looks at nothing that other CPUs
/// write to before it gives the bit back, so it moves the cache line of the bit once, not twice.
#[derive(Clone, Copy)]
pub(crate) struct Place(u64);

/// The bit of a [`Place`] that says whether there is more to do when the block is freed.
pub(crate) const SLOW_FREE: u64 = 1 << 31;

impl Place {
    /// `distance` is in the upper half. `marks` are [`SLOW_FREE`] if that is so, and [`TWIN`] if
    /// the block is not to be given back by `bit` but by its twin.
    #[inline(always)]
    fn new(distance: u64, bit: u32, marks: u64) -> Self {
        Self(distance | (u64::from(bit) ^ marks))
    }

    #[inline]
    pub(crate) fn has_slow_free(self) -> bool {
        self.0 & SLOW_FREE != 0
    }

    /// The bit to give back.
    #[inline]
    pub(crate) fn bit(self) -> u32 {
        // CAST: Without `SLOW_FREE`, which is above: a bit is at most `i16::MAX`.
        u32::from(self.0 as u16)
    }

    #[inline]
    pub(crate) fn offset(self) -> u32 {
        // CAST: The upper half.
        (self.0 >> u32::BITS) as u32
    }
}
