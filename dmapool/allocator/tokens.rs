// SPDX-License-Identifier: GPL-2.0

//! Blocks that are out: no [`Block`] owns them for a while. Each comes back at most
//! once, whatever a device makes of its token or address.

use super::super::sys::prelude::*;
use super::{
    free::Allocated,
    map::Map,
    pool::RawPool,
    slab::Slab, //
};

/// A block that is out as a token; from [`Block::into_raw`].
///
/// Plain numbers, which name the block within its pool and are of no use to a device as an
/// address. It can be copied, stored in a hardware descriptor, and come back any number of times:
/// [`Pool::from_raw`] accepts it once.
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

impl RawPool<'_> {
    /// Lets `block`, which is of this pool, out, if `map` is there to find it by. Returns what its
    /// count says.
    ///
    /// # Safety
    ///
    /// If this succeeds, the caller must not use the block any more.
    unsafe fn let_out_by(&self, map: &Option<Map>, block: &Allocated<'_>) -> Result<u32> {
        let count = block.slab.count_of(block.bit(&self.layout), &self.layout);

        match (map, count) {
            // SAFETY: The caller owned the block, and does not use it any more.
            (Some(_), Some(count)) => Ok(unsafe { count.let_out() }),
            _ => Err(EINVAL),
        }
    }

    /// Lets `block`, which is of this pool, out as a token. See [`Block::into_raw`].
    ///
    /// # Safety
    ///
    /// As [`RawPool::let_out_by`].
    pub(crate) unsafe fn let_out(&self, block: &Allocated<'_>) -> Result<RawBlock> {
        let name = self.name_of(block).ok_or(EOVERFLOW)?;
        // SAFETY: The caller vouches for the same.
        let count = unsafe { self.let_out_by(&self.by_number, block)? };

        Ok(RawBlock { count, block: name })
    }

    /// Lets `block`, which is of this pool, out by its DMA address. See
    /// [`Block::into_address`].
    ///
    /// # Safety
    ///
    /// As [`RawPool::let_out_by`].
    pub(crate) unsafe fn let_out_by_address(&self, block: &Allocated<'_>) -> Result<DmaAddress> {
        // SAFETY: The caller vouches for the same.
        unsafe { self.let_out_by(&self.by_address, block)? };
        Ok(block.dma_address())
    }

    /// The block that is out as `raw`, which is the caller's then. See [`Pool::from_raw`].
    pub(crate) fn take_back(&self, raw: RawBlock) -> Option<Allocated<'_>> {
        let (number, bit) = self.slab_and_bit(raw.block)?;
        let map = self.by_number.as_ref()?;
        let (slab, ..) = map.find(number.into(), |slab, _| {
            (slab.number() == number).then_some(())
        })?;

        self.take_back_by(slab, bit, Some(raw.count))
    }

    /// The block of `bit`, if it is out under this number, or under any if there is none.
    fn take_back_by<'a>(
        &'a self,
        slab: Slab<'a>,
        bit: u32,
        number: Option<u32>,
    ) -> Option<Allocated<'a>> {
        let count = slab.count_of(bit, &self.layout)?;

        // INVARIANT: By the invariants of the count the block is allocated, and this thread's now.
        count.take_back(number).then(|| Allocated {
            slab,
            place: self.layout.place_of(bit, 0),
        })
    }

    /// The block that is out and begins at `dma`, which is the caller's then. See
    /// [`Pool::from_address`].
    pub(crate) fn take_back_at(&self, dma: DmaAddress) -> Option<Allocated<'_>> {
        let (slab, page, offset) = self.find_page(dma)?;
        let bit = self.layout.bit_at(page, offset)?;

        self.take_back_by(slab, bit, None)
    }
}
