// SPDX-License-Identifier: GPL-2.0

//! Shrinking: giving pages back without allocated blocks.

use super::super::sys::prelude::*;
#[cfg(MODULE)]
use super::map::Map;
use super::{
    super::sys::context,
    pool::RawPool,
    trace, //
};

impl RawPool<'_> {
    /// See [`Pool::shrink`].
    pub(crate) fn shrink(&self) -> usize {
        // The map leads to the memory of all pages.
        if self.by_address.is_some() || !self.may_shrink() {
            return 0;
        }
        self.end_quarantine();
        self.give_back_free_pages()
    }

    fn may_shrink(&self) -> bool {
        let may = context::may_sleep();

        if !may {
            self.err(fmt!("not shrunk where nothing may sleep"));
        }
        may
    }

    /// Gives pages back all of whose blocks are free. If there is a map of pages, it leads to none
    /// of these, and nobody else uses the pool.
    fn give_back_free_pages(&self) -> usize {
        let mut freed = 0usize;

        for slab in self.chunks.slabs() {
            for page in 0..self.layout.pages {
                // SAFETY: No map leads to it.
                let Some(memory) = (unsafe { slab.take_page(page, &self.layout) }) else {
                    continue;
                };

                // SAFETY: This thread has all blocks of the page.
                unsafe { self.check_free_blocks(slab, page, &memory, |_| true) };
                self.pages.pages.fetch_sub(1, Relaxed);
                trace::shrink::call(self, memory.as_mut_ptr().cast(), memory.dma_address());
                self.give_back(memory);
                freed = freed.wrapping_add(1);
                self.vacate(slab, page);
            }
            // A search may have come by while this thread had taken some blocks, and have found
            // none.
            self.publish(slab);
        }
        freed
    }
}

/// For pools of the interface for C, which has that in a module only.
#[cfg(MODULE)]
impl RawPool<'_> {
    /// Gives pages back in which no block is allocated, though the map leads to them.
    ///
    /// # Safety
    ///
    /// Nobody else may use the pool meanwhile.
    pub(crate) unsafe fn shrink_alone(&self) -> usize {
        if !self.may_shrink() {
            return 0;
        }
        self.end_quarantine();
        // The map of those that stay comes first: afterwards there may be no memory for it.
        // SAFETY: The caller vouches for it.
        if unsafe { self.map_pages_in_use() }.is_err() {
            return 0;
        }
        self.give_back_free_pages()
    }

    /// Has the map lead to the pages of the reserve and those with allocated blocks, and to no
    /// others.
    ///
    /// # Safety
    ///
    /// Nobody else may use the pool meanwhile.
    unsafe fn map_pages_in_use(&self) -> Result {
        let by_address = self.by_address.as_ref().ok_or(EINVAL)?;
        let layout = &self.layout;
        let map = Map::new()?;

        for slab in self.slabs() {
            for page in 0..layout.pages {
                let stays = slab.chunk().is_of_reserve() || slab.count_live(page, layout) != 0;
                // SAFETY: Nobody else uses the pool.
                let memory = unsafe { slab.claimed(page) };

                for number in memory
                    .iter()
                    .filter(|_| stays)
                    .flat_map(|it| self.numbers_of(it))
                {
                    // SAFETY: The slab is of this pool, and the page has blocks.
                    unsafe { map.claim(GFP_KERNEL)?.enter(number, slab, page) };
                }
            }
        }
        // SAFETY: The caller vouches for it.
        unsafe { by_address.replace(map) };
        Ok(())
    }
}
