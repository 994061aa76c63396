// SPDX-License-Identifier: GPL-2.0

//! Growing: how many pages a pool gets, and making blocks of their memory.

use crate::{
    allocated::Allocated,
    context,
    cpu_pages::CpuPages,
    gfp,
    node::Kind,
    page::Page,
    publish::publish,
    raw_pool::RawPool, //
};
use core::ptr::NonNull;
use kernel::{
    alloc::Flags,
    prelude::*, //
};

impl RawPool<'_> {
    /// Grows because a search has found no free block, which began when there were `pages`, and
    /// allocates one. Any context that `flags` allow.
    pub(crate) fn grow_for_need(&self, pages: u32, flags: Flags) -> Result<Allocated<'_>> {
        self.pages.need_more_than(pages);
        self.grow(self.pages.promise(1, self.most_joined()), flags)
    }

    /// Grows though there are free blocks, for a CPU that has found next to nothing for a while,
    /// and allocates one. `None` if that is not easy, or the pool may not have more pages.
    pub(crate) fn grow_for_cpu(&self, cpu: &CpuPages, flags: Flags) -> Option<Allocated<'_>> {
        if !cpu.is_poor() {
            return None;
        }
        let promised = match self.pages.promise(0, self.most_joined()) {
            0 if cpu.claim_spare_page() => self.pages.promise(1, 1),
            0 => return None,
            promised => promised,
        };
        let flags = if gfp::may_block(flags) {
            gfp::without_effort(flags)
        } else {
            // Not from what `GFP_ATOMIC` may use: there are free blocks elsewhere.
            GFP_NOWAIT | __GFP_NOWARN
        };

        self.grow(promised, flags).ok()
    }

    /// The most pages that can be joined.
    fn most_joined(&self) -> u32 {
        1u32.wrapping_shl(self.geometry().max_order())
    }

    /// Adds a page to the pool, or of those that were `promised` several that are joined. This CPU
    /// allocates from it from now on, and gets its first block.
    pub(crate) fn grow(&self, promised: u32, flags: Flags) -> Result<Allocated<'_>> {
        let before = self.capacity();
        let page = self.add_page(promised, flags, 1)?;

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
            let missing = self.pages_for((count as u64).saturating_sub(free));
            let missing = missing.min(self.most_joined());
            let page = self.add_page(self.pages.promise(missing, missing), flags, 0)?;

            free = free.wrapping_add(page.count_free().into());
            publish(page);
        }
        Ok(())
    }

    /// How many pages hold so many blocks.
    fn pages_for(&self, blocks: u64) -> u32 {
        let per_page = u64::from(self.geometry().blocks_per_page());
        let last = per_page.wrapping_sub(1);

        // A page has blocks, but a division that cannot panic has to be told.
        let pages = blocks.saturating_add(last).checked_div(per_page);
        // CAST: As many as there can be at the most.
        pages.unwrap_or(0).min(u32::MAX.into()) as u32
    }

    /// Adds a page to the pool, or of those that were `promised` several that are joined. The first
    /// `allocated` blocks are the caller's, who must publish the page.
    fn add_page(&self, promised: u32, flags: Flags, allocated: u32) -> Result<Page<'_>> {
        let (page, pages) = self
            .obtain_page(promised, flags)
            .inspect_err(|_| self.pages.keep(promised, 0))?;
        let blocks = self.geometry().blocks_per_page().wrapping_mul(pages);

        // The release in `Word::fill` orders this before the words are all taken by `shrink`, which
        // subtracts the pages again.
        self.pages.keep(promised, pages);
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

    /// A page that has memory but no blocks yet, and is given to nobody else. Also how many pages
    /// it counts as: up to `most`, if they are joined.
    fn obtain_page(&self, most: u32, flags: Flags) -> Result<(Page<'_>, u32)> {
        if !context::may_grow() {
            return Err(ENOMEM);
        }
        // The record goes into the tree first. If that failed later, the DMA memory would have to
        // be given back, and that is impossible here, maybe with interrupts disabled.
        let page = self.unpopulated_page(flags)?;
        // SAFETY: The page was given to this thread as unpopulated.
        let pages = unsafe { self.populate(page, most, flags) }.inspect_err(|_| {
            page.announce(Kind::Unpopulated);
        })?;

        Ok((page, pages))
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
}
