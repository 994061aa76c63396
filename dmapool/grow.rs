// SPDX-License-Identifier: GPL-2.0

//! Growing: obtaining memory from the system, and making blocks of it.

use crate::{
    allocated::Allocated,
    bitmap::read_once,
    context,
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
    dma::Coherent,
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
    /// If the address map cannot be extended, the page keeps its memory for the next time.
    ///
    /// # Safety
    ///
    /// `page` must have been given to the caller as unpopulated.
    unsafe fn populate(&self, page: Page<'_>, flags: Flags) -> Result<u32> {
        // SAFETY: The caller was given the page as unpopulated.
        let memory = unsafe { page.populate(|| self.obtain_memory(flags)) }?;

        if let Some(addresses) = &self.addresses {
            // SAFETY: The page keeps this memory: with an address map, `shrink` does nothing.
            unsafe { addresses.insert(page, memory, gfp::for_records(flags))? };
        }
        // CAST: At most 64 pages are joined.
        Ok(self.pages_in(memory) as u32)
    }

    /// Obtains memory for one page, or for several that are joined.
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
                return Ok(memory);
            }
        }
        Coherent::zeroed_slice(self.dev, size, flags)
    }
}
