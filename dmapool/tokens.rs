// SPDX-License-Identifier: GPL-2.0

//! Tokens: blocks that no [`Block`](crate::Block) owns for a while, each of which comes back at
//! most once, whatever a device makes of its token.

use crate::{
    allocated::Allocated,
    geometry::Geometry,
    raw_pool::RawPool, //
};
use kernel::prelude::*;

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
    /// Which block of the pool, counted through all pages.
    block: u32,
}

impl RawBlock {
    /// The number of block `index` of page `page`, among all of the pool.
    pub(crate) fn block(geometry: &Geometry, page: u32, index: u32) -> Option<u32> {
        page.checked_mul(geometry.most_blocks())?.checked_add(index)
    }

    pub(crate) fn new(count: u32, block: u32) -> Self {
        Self { count, block }
    }

    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// The page and the index of the block.
    pub(crate) fn page_and_index(self, geometry: &Geometry) -> Option<(u32, u32)> {
        let most = geometry.most_blocks();

        Some((self.block.checked_div(most)?, self.block.checked_rem(most)?))
    }

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

impl RawPool<'_> {
    /// Lets `block`, which is of this pool, out as a token. See [`crate::Block::into_raw`].
    ///
    /// # Safety
    ///
    /// If this succeeds, the caller must not use the block any more.
    pub(crate) unsafe fn let_out(&self, block: &Allocated<'_>) -> Result<RawBlock> {
        let (page, index) = (block.page, self.spec.index_of(block.place.bit()));
        let count = page.token_count(index, &self.spec).ok_or(EINVAL)?;
        let block = RawBlock::block(self.geometry(), page.number(), index).ok_or(EOVERFLOW)?;

        // SAFETY: The caller owned the block, and does not use it any more.
        Ok(RawBlock::new(unsafe { count.let_out() }, block))
    }

    /// The block that is out as `raw`, which is the caller's then. See [`crate::Pool::from_raw`].
    pub(crate) fn take_back(&self, raw: RawBlock) -> Option<Allocated<'_>> {
        let (page_number, index) = raw.page_and_index(self.geometry())?;
        let page = self.tree.get(page_number)?;

        // INVARIANT: By the invariants of the count the block is allocated, and this thread's now.
        page.token_count(index, &self.spec)?
            .take_back(raw.count())
            .then(|| Allocated {
                page,
                place: self.spec.place_of(index, self.spec.marks),
            })
    }
}
