// SPDX-License-Identifier: GPL-2.0

//! Growing: obtaining memory from the system, and making blocks of it.

use crate::{
    allocated::Allocated,
    bitmap::read_once,
    context,
    geometry::Misplaced,
    gfp,
    init::POISON_FREED,
    node::Kind,
    page::Page,
    publish::publish,
    raw_pool::RawPool, //
};
use core::ptr::NonNull;
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
    /// Adds a page to the pool, from which this CPU allocates from now on, and allocates its first
    /// block. Any context that `flags` allow.
    pub(crate) fn grow(&self, flags: Flags) -> Result<Allocated<'_>> {
        let before = self.capacity();
        let page = self.add_page(flags, 1)?;

        // Most often a pool grows when all blocks are allocated: then the level is known for free.
        self.note_level(before.saturating_sub(self.reserved()).wrapping_add(1));
        self.switch_to(page);
        // INVARIANT: `add_page` leaves the first block to its caller.
        Ok(Allocated {
            page,
            place: self.spec.place_of(0, self.spec.marks),
        })
    }

    /// See [`crate::Pool::prefill`].
    pub(crate) fn prefill(&self, count: usize, flags: Flags) -> Result {
        // What the system cannot have is not tried: nobody is to be killed for it.
        if count.saturating_mul(self.geometry().stride()) > context::total_memory() {
            return Err(ENOMEM);
        }
        let flags = gfp::without_oom(flags);
        let mut free = self.count_free();

        while free < count as u64 {
            let page = self.add_page(flags, 0)?;

            free = free.wrapping_add(page.count_free().into());
            publish(page);
        }
        Ok(())
    }

    /// Adds a page to the pool, of which the first `allocated` blocks are the caller's. The caller
    /// must publish it.
    fn add_page(&self, flags: Flags, allocated: u32) -> Result<Page<'_>> {
        if !context::may_grow() {
            return Err(ENOMEM);
        }
        // The record goes into the tree first. If that failed later, the DMA memory would have to
        // be given back, and that is impossible here, maybe with interrupts disabled.
        let page = self.unpopulated_page(flags)?;
        // SAFETY: The page was given to this thread as unpopulated.
        let pages = unsafe { self.populate(page, flags) }.inspect_err(|_| {
            page.announce(Kind::Unpopulated);
        })?;
        let blocks = self.geometry().blocks_per_page().wrapping_mul(pages);

        // Relaxed: nothing is inferred from the count. The release in `Word::fill` orders this
        // before the words are all taken by `shrink`, which subtracts the pages again.
        self.pages.add(pages, Relaxed);
        // SAFETY: The page was given to this thread as unpopulated, and has that much memory now.
        // With an address map no page is unpopulated again, so this one never had blocks before.
        unsafe {
            if self.addresses.is_some() {
                page.add_checked_blocks(blocks, allocated);
            } else {
                page.add_blocks(blocks, allocated);
            }
        }
        Ok(page)
    }

    /// An unpopulated page in the tree, that is given to nobody else.
    fn unpopulated_page(&self, flags: Flags) -> Result<Page<'_>> {
        let cpu = self.this_cpu();
        let beside = cpu.added();

        if let Some(page) = self
            .tree
            .find_own(Kind::Unpopulated, cpu.own(), beside)
            .or_else(|| self.tree.find(Kind::Unpopulated, Page::nothing()))
        {
            return Ok(page);
        }

        let flags = gfp::for_records(flags);
        let page = Page::new(&self.spec, flags, self.node)?;
        let pool = NonNull::from(self).cast();
        // SAFETY: The tree is this pool's. The page is new, and stays if it is inserted.
        unsafe { self.tree.insert(pool, page, beside, flags) }.inspect_err(|_| {
            // SAFETY: The tree did not take the page, so nobody else has it.
            drop(unsafe { page.free_record(&self.spec) });
        })?;
        // SAFETY: The page is of this pool now.
        unsafe { cpu.note_added(page) };
        Ok(page)
    }

    /// Gives `page` memory, and enters it into the address map. Returns how many pages it counts
    /// as: several, if they are joined.
    ///
    /// If the address map cannot be extended, the page keeps its memory for the next time. So it
    /// does if the memory is misplaced and the caller may not sleep, which giving it back can take.
    ///
    /// # Safety
    ///
    /// `page` must have been given to the caller as unpopulated.
    unsafe fn populate(&self, page: Page<'_>, flags: Flags) -> Result<u32> {
        // SAFETY: The caller was given the page as unpopulated.
        unsafe { self.discard_misplaced(page, flags) };
        // SAFETY: As above.
        let memory = unsafe { page.populate(|| self.obtain_memory(flags)) }?;

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
            *self.name,
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

    /// Obtains memory for one page, or for several that are joined. It may be misplaced.
    fn obtain_memory(&self, flags: Flags) -> Result<Coherent<[u8]>> {
        let memory = self.alloc_coherent(gfp::for_dma(flags, self.geometry().page_size()))?;

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

    /// The larger the pool, the more it asks for at once, up to half of what it has; if it does not
    /// get that, as little as possible.
    fn alloc_coherent(&self, flags: Flags) -> Result<Coherent<[u8]>> {
        let size = self.geometry().page_size();
        let order = (read_once(&self.pages) / 2)
            .checked_ilog2()
            .unwrap_or(0)
            .min(self.geometry().max_order());

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
