// SPDX-License-Identifier: GPL-2.0

//! The memory of a page: obtaining it from the system, and a look at where it lies.

use super::super::sys::prelude::*;
use super::{
    super::sys::gfp,
    policy::{
        parameters,
        POISON_FREED, //
    },
    pool::RawPool,
    slab::Slab, //
};
use core::ops::RangeInclusive;

/// Pages of DMA memory that all pools have from the system.
static PAGES_HELD: Atomic<usize> = Atomic::new(0);

/// How many pages of DMA memory all pools together have from the system, those included that were
/// kept when their pool was destroyed.
#[cfg(any(MODULE, CONFIG_RUST_DMAPOOL_KUNIT_TEST))]
pub(crate) fn pages_held() -> usize {
    // Relaxed: a count for humans and tests.
    PAGES_HELD.load(Relaxed)
}

impl RawPool<'_> {
    /// Gives `page` memory, unless it has some from an attempt that got no further, and returns
    /// that.
    ///
    /// If the memory is misplaced and the caller may not sleep, which giving it back can take, the
    /// page keeps it for the next time.
    ///
    /// # Safety
    ///
    /// The caller must have claimed the page of `slab`, which is of this pool.
    pub(crate) unsafe fn populate<'a>(
        &self,
        slab: Slab<'a>,
        page: u32,
        flags: Flags,
    ) -> Result<&'a Coherent<[u8]>> {
        // SAFETY: The caller has claimed the page.
        let memory = unsafe { slab.claimed(page) };

        self.discard_misplaced(memory, flags);
        if memory.is_none() {
            *memory = Some(self.obtain(flags)?);
        }
        if let Some(misplaced) = memory.as_ref().filter(|it| !self.is_well_placed(it)) {
            self.report_misplaced(misplaced);
            self.discard_misplaced(memory, flags);
            return Err(ENOMEM);
        }
        memory.as_ref().ok_or(ENOMEM)
    }

    /// The numbers that the addresses of a page have in a map; three at most.
    pub(crate) fn numbers_of(&self, memory: &Coherent<[u8]>) -> RangeInclusive<u64> {
        let first = memory.dma_address();
        let last = (self.geometry().page_size() as DmaAddress).wrapping_sub(1);

        self.number_of(first)..=self.number_of(first.wrapping_add(last))
    }

    /// The number in the map of the page in which `dma` lies: pages that follow each other have
    /// numbers that do.
    #[inline(always)]
    pub(crate) fn number_of(&self, dma: DmaAddress) -> u64 {
        dma.wrapping_shr(self.layout.page_order.into())
    }

    /// The page with blocks in which `dma` lies, and how many bytes it is from its beginning.
    pub(crate) fn find_page(&self, dma: DmaAddress) -> Option<(Slab<'_>, u32, u64)> {
        let size = self.geometry().page_size() as DmaAddress;

        self.by_address
            .as_ref()?
            .find(self.number_of(dma), |slab, page| {
                // SAFETY: Only pages are passed that are in the map.
                let memory = unsafe { slab.memory(page) };
                // An address below the page wraps to a distance above its length.
                let offset = dma.wrapping_sub(memory.dma_address());

                (offset < size).then_some(offset)
            })
    }

    /// Whether the blocks in `memory` would be where they may be.
    fn is_well_placed(&self, memory: &Coherent<[u8]>) -> bool {
        let (cpu, dma) = (memory.as_mut_ptr().addr(), memory.dma_address());

        self.geometry().is_aligned(cpu, dma) && self.geometry().keeps_to_boundary(dma)
    }

    /// Says why the system's memory is of no use to the pool. Once: as a rule it is so for all of
    /// it, and whoever allocates may go on trying.
    fn report_misplaced(&self, memory: &Coherent<[u8]>) {
        let (cpu, dma) = (memory.as_mut_ptr().addr(), memory.dma_address());
        let (why, bytes) = if self.geometry().is_aligned(cpu, dma) {
            ("crosses a boundary of", self.geometry().boundary())
        } else {
            ("is not aligned to", self.geometry().align())
        };

        // Relaxed: nothing is inferred from the count.
        if self.misplaced.fetch_add(1, Relaxed) == 0 {
            self.err(fmt!(
                "not grown, because the memory at {dma:#x} {why} {bytes} bytes"
            ));
        }
    }

    /// Gives memory back that is misplaced, if the caller may sleep.
    fn discard_misplaced(&self, memory: &mut Option<Coherent<[u8]>>, flags: Flags) {
        if gfp::may_block(flags) {
            if let Some(memory) = memory.take_if(|memory| !self.is_well_placed(memory)) {
                self.give_back(memory);
            }
        }
    }

    /// Obtains memory for one page, as C's pools do. It may be misplaced.
    fn obtain(&self, flags: Flags) -> Result<Coherent<[u8]>> {
        let size = self.geometry().page_size();
        let memory = Coherent::zeroed_slice(self.dev, size, gfp::for_dma(flags, size))?;

        // Relaxed: nothing is inferred from the count.
        PAGES_HELD.add(1usize, Relaxed);
        if parameters().poison {
            // SAFETY: The memory has that many bytes, and nobody else knows it yet.
            unsafe {
                memory
                    .as_mut_ptr()
                    .cast::<u8>()
                    .write_bytes(POISON_FREED, size)
            };
        }
        Ok(memory)
    }

    /// Gives memory back to the system. Process context with interrupts enabled; may sleep.
    pub(crate) fn give_back(&self, memory: Coherent<[u8]>) {
        drop(memory);
        PAGES_HELD.fetch_sub(1, Relaxed);
    }
}
