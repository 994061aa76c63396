// SPDX-License-Identifier: GPL-2.0

//! A block that is allocated, as the pool itself handles it: its page and its place in there.

use crate::{
    page::Page,
    page_spec::Place, //
};
use kernel::dma::{
    Coherent,
    DmaAddress, //
};

/// A block that belongs to whoever has this value. Dropping it does not free the block; a
/// [`Block`](crate::Block) does that.
///
/// # Invariants
///
/// The block of `page` at `place` is allocated.
pub(crate) struct Allocated<'pool> {
    pub(crate) page: Page<'pool>,
    pub(crate) place: Place,
}

impl Allocated<'_> {
    /// The memory of the whole page.
    #[inline]
    pub(crate) fn memory(&self) -> &Coherent<[u8]> {
        // SAFETY: By the type invariants the block is allocated, and stays so while this value is
        // borrowed: after `Allocated::free` nobody may use it.
        unsafe { self.page.memory() }
    }

    /// The block's first byte.
    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        // CAST: An offset fits a `usize`.
        let offset = self.place.offset() as usize;

        self.memory().as_mut_ptr().cast::<u8>().wrapping_add(offset)
    }

    #[inline]
    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.memory()
            .dma_address()
            .wrapping_add(self.place.offset().into())
    }

    /// Fills all that belongs to the block with `value`: `stride` bytes.
    ///
    /// # Safety
    ///
    /// `stride` must be that of the pool's geometry.
    pub(crate) unsafe fn fill(&self, value: u8, stride: usize) {
        // SAFETY: By the type invariants the block is allocated, so its memory is there. Nobody
        // else writes to it, but for a device that the driver has told of it already or still.
        unsafe { self.as_ptr().write_bytes(value, stride) };
    }
}
