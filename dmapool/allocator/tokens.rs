// SPDX-License-Identifier: GPL-2.0

//! Tokens: blocks that no [`Block`](crate::Block) owns for a while, each of which comes back at
//! most once, whatever a device makes of its token.

use super::super::sys::prelude::*;
use super::{
    free::Allocated,
    layout::SlabLayout,
    pool::RawPool,
    slab::Slab,
    token_count::TokenCount, //
};

/// A block that is out as a token; from [`Block::into_raw`](crate::Block::into_raw).
///
/// Plain numbers, which name the block within its pool and are of no use to a device as an
/// address. It can be copied, stored in a hardware descriptor, and come back any number of times:
/// [`Pool::from_raw`](crate::Pool::from_raw) accepts it once.
///
/// # Examples
///
/// ```
/// use rust_dmapool::RawBlock;
///
/// fn same(raw: RawBlock) -> bool {
///     RawBlock::from_bits(raw.into_bits()) == raw
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawBlock {
    /// What the block's [`TokenCount`] says.
    count: u32,
    /// Which bit stands for it, counted through all slabs.
    block: u32,
}

impl RawBlock {
    /// All that there is to it in 64 bits, for a field that hardware hands back.
    ///
    /// # Examples
    ///
    /// ```
    /// let raw = rust_dmapool::RawBlock::from_bits(42);
    /// assert_eq!(raw.into_bits(), 42);
    /// ```
    pub const fn into_bits(self) -> u64 {
        // CAST: Widening.
        (self.count as u64) << u32::BITS | self.block as u64
    }

    /// The reverse of [`RawBlock::into_bits`].
    ///
    /// # Examples
    ///
    /// ```
    /// let raw = rust_dmapool::RawBlock::from_bits(0x1_0000_0002);
    /// assert_eq!(raw.into_bits(), 0x1_0000_0002);
    /// ```
    pub const fn from_bits(bits: u64) -> Self {
        // CAST: Each takes its half.
        Self {
            count: (bits >> u32::BITS) as u32,
            block: bits as u32,
        }
    }
}

impl<'pool> Slab<'pool> {
    /// The count for tokens of `bit`, which is none of a twin, if the pool has tokens and the slab
    /// such a bit.
    fn token_count(self, bit: u32, layout: &SlabLayout) -> Option<&'pool TokenCount> {
        if !layout.tokens || bit >= layout.bits() {
            return None;
        }
        let counts = layout.allocation().ok()?.counts;

        // SAFETY: By the type invariants the slab has that many counts, at that distance from its
        // words, and they live for `'pool`.
        Some(unsafe {
            self.as_raw()
                .byte_add(counts)
                .cast::<TokenCount>()
                .add(bit as usize)
                .as_ref()
        })
    }
}

impl RawPool<'_> {
    /// The slab with this number, in a pool with tokens.
    fn slab(&self, number: u32) -> Option<Slab<'_>> {
        let map = self.map.as_ref()?;

        Some(
            map.find(number.into(), |slab, _| slab.number() == number)?
                .0,
        )
    }

    /// Lets `block`, which is of this pool, out as a token. See [`crate::Block::into_raw`].
    ///
    /// # Safety
    ///
    /// If this succeeds, the caller must not use the block any more.
    pub(crate) unsafe fn let_out(&self, block: &Allocated<'_>) -> Result<RawBlock> {
        let bit = block.place.bit() & !self.layout.twin;
        let count = block.slab.token_count(bit, &self.layout).ok_or(EINVAL)?;
        let bits = self.layout.bits();
        // Not an "or": a slab need not have a power of two of bits.
        let number = block
            .slab
            .number()
            .checked_mul(bits)
            .and_then(|first| first.checked_add(bit))
            .ok_or(EOVERFLOW)?;

        // SAFETY: The caller owned the block, and does not use it any more.
        let count = unsafe { count.let_out() };
        Ok(RawBlock {
            count,
            block: number,
        })
    }

    /// The block that is out as `raw`, which is the caller's then. See [`crate::Pool::from_raw`].
    pub(crate) fn take_back(&self, raw: RawBlock) -> Option<Allocated<'_>> {
        let bits = self.layout.bits();
        let slab = self.slab(raw.block.checked_div(bits)?)?;
        let bit = raw.block.checked_rem(bits)?;

        // INVARIANT: By the invariants of the count the block is allocated, and this thread's now.
        slab.token_count(bit, &self.layout)?
            .take_back(raw.count)
            .then(|| Allocated {
                slab,
                place: self.layout.place_of(bit, 0),
            })
    }
}
