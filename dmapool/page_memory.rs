// SPDX-License-Identifier: GPL-2.0

//! The memory of a page: obtaining it from the system, and looking at where it lies.

use crate::{
    geometry::Misplaced,
    gfp,
    init::POISON_FREED,
    page::Page,
    raw_pool::RawPool, //
};
use kernel::{
    alloc::Flags,
    dma::{
        Coherent,
        DmaAddress, //
    },
    prelude::*,
    sync::atomic::Relaxed, //
};

impl RawPool<'_> {
    /// Gives `page` memory, and enters it into the address map. Returns how many pages it counts
    /// as: up to `most`, if they are joined.
    ///
    /// If the address map cannot be extended, the page keeps its memory for the next time. So it
    /// does if the memory is misplaced and the caller may not sleep, which giving it back can take.
    ///
    /// # Safety
    ///
    /// `page` must have been given to the caller as unpopulated.
    pub(crate) unsafe fn populate(&self, page: Page<'_>, most: u32, flags: Flags) -> Result<u32> {
        // SAFETY: The caller was given the page as unpopulated.
        unsafe { self.discard_misplaced(page, flags) };
        // SAFETY: As above.
        let memory = unsafe { page.populate(|| self.obtain_memory(most, flags)) }?;

        if let Err(why) = self.check_memory(memory) {
            self.report_misplaced(memory, why);
            // SAFETY: As above, and `memory` is not used any more.
            unsafe { self.discard_misplaced(page, flags) };
            return Err(ENOMEM);
        }
        if let Some(addresses) = &self.addresses {
            // SAFETY: The page keeps this memory: with an address map, `shrink` does nothing.
            unsafe { addresses.insert(page, memory, gfp::for_records(flags))? };
        }
        // CAST: At most 64 pages are joined.
        Ok(self.pages_in(memory) as u32)
    }

    /// Whether each page that `memory` is lies where the pool's blocks may be.
    fn check_memory(&self, memory: &Coherent<[u8]>) -> Result<(), Misplaced> {
        let size = self.geometry().page_size();

        // Of these products none is larger than the memory.
        (0..self.pages_in(memory)).try_for_each(|page| {
            let offset = page.wrapping_mul(size);
            let cpu = memory.as_mut_ptr().addr().wrapping_add(offset);
            // CAST: Widening.
            let dma = memory.dma_address().wrapping_add(offset as DmaAddress);

            self.geometry().check_place(cpu, dma)
        })
    }

    /// Says why the system's memory is of no use to the pool. Once: as a rule it is so for all of
    /// it, and whoever allocates may go on trying.
    fn report_misplaced(&self, memory: &Coherent<[u8]>, why: Misplaced) {
        // Relaxed: nothing is inferred from the count.
        if self.misplaced.fetch_add(1, Relaxed) != 0 {
            return;
        }
        dev_err!(
            self.dev,
            "rust_dmapool: pool {}: not grown, because the memory at {:#x} {why}\n",
            crate::c_string::Readable(&self.name),
            memory.dma_address()
        );
    }

    /// Gives memory of `page` back that is misplaced, if the caller may sleep.
    ///
    /// # Safety
    ///
    /// As [`RawPool::populate`].
    unsafe fn discard_misplaced(&self, page: Page<'_>, flags: Flags) {
        if !gfp::may_block(flags) {
            return;
        }
        let is_misplaced = |memory: &Coherent<[u8]>| self.check_memory(memory).is_err();

        // SAFETY: The caller was given the page as unpopulated. Misplaced memory is entered into
        // no address map.
        if let Some(memory) = unsafe { page.take_memory_if(is_misplaced) } {
            self.give_back(memory);
        }
    }

    /// Obtains memory for one page, or for up to `most` that are joined. It may be misplaced.
    fn obtain_memory(&self, most: u32, flags: Flags) -> Result<Coherent<[u8]>> {
        let flags = gfp::for_dma(flags, self.geometry().page_size());
        let memory = self.alloc_coherent(most, flags)?;

        self.count_in(&memory);
        if self.init.poison {
            // SAFETY: The memory has that many bytes, and nobody else knows it yet.
            unsafe {
                memory
                    .as_mut_ptr()
                    .cast::<u8>()
                    .write_bytes(POISON_FREED, memory.len())
            };
        }
        Ok(memory)
    }

    /// Asks for `most` pages at once, at most as many as can be joined; if it does not get that,
    /// for one.
    fn alloc_coherent(&self, most: u32, flags: Flags) -> Result<Coherent<[u8]>> {
        let size = self.geometry().page_size();
        let order = most.checked_ilog2().unwrap_or(0);

        // For those who may not block, memory that must be decrypted or remapped comes from a
        // small pool that all interrupt handlers share: not more of that than has to be.
        if order > 0 && gfp::may_block(flags) {
            let (size, flags) = (size.wrapping_shl(order), gfp::without_effort(flags));

            if let Ok(memory) = Coherent::zeroed_slice(self.dev, size, flags) {
                // A single page may do where several do not: they can lie across a boundary.
                if self.check_memory(&memory).is_ok() {
                    return Ok(memory);
                }
            }
        }
        Coherent::zeroed_slice(self.dev, size, flags)
    }
}
