// SPDX-License-Identifier: GPL-2.0

//! Shrinking: giving pages back without allocated blocks.

use super::super::sys::prelude::*;
use super::{
    super::sys::context,
    map::Map,
    pool::RawPool,
    slab::Slab,
    trace, //
};

impl RawPool<'_> {
    /// See [`crate::Pool::shrink`].
    pub(crate) fn shrink(&self) -> usize {
        // The map leads to the memory of all pages.
        if self.by_address.is_some() || !self.may_shrink() {
            return 0;
        }
        self.give_back_free_pages()
    }

    /// The same, for a pool whose map leads to its pages.
    ///
    /// # Safety
    ///
    /// Nobody else may use the pool meanwhile.
    pub(crate) unsafe fn shrink_alone(&self) -> usize {
        if !self.may_shrink() {
            return 0;
        }
        // The map of those that stay comes first: afterwards there may be no memory for it.
        // SAFETY: The caller vouches for it.
        if unsafe { self.map_pages_in_use() }.is_err() {
            return 0;
        }
        self.give_back_free_pages()
    }

    fn may_shrink(&self) -> bool {
        let may = context::may_sleep();

        if !may {
            self.err(fmt!("not shrunk where nothing may sleep"));
        }
        may
    }

    /// Has the map lead to the pages of the reserve and those with allocated blocks, and to no
    /// others.
    ///
    /// # Safety
    ///
    /// Nobody else may use the pool meanwhile.
    unsafe fn map_pages_in_use(&self) -> Result {
        let Some(by_address) = &self.by_address else {
            return Ok(());
        };
        let layout = &self.layout;
        let map = Map::new()?;
        let pages_of = |slab| (0..layout.pages).map(move |page| (slab, page));
        let in_use = self
            .chunks
            .slabs()
            .flat_map(pages_of)
            .filter(|&(slab, page): &(Slab<'_>, u32)| slab.count_live(page, layout) != 0);
        let reserved = self.reserve.slabs().flat_map(pages_of);

        for (slab, page) in Iterator::chain(in_use, reserved) {
            // SAFETY: The page has blocks, and nobody else uses the pool.
            let Some(memory) = (unsafe { slab.memory_if_there(page) }) else {
                continue;
            };

            for number in self.numbers_of(memory) {
                // SAFETY: The slab is of this pool.
                unsafe { map.claim(GFP_KERNEL)?.enter(number, slab, page) };
            }
        }
        // SAFETY: The caller vouches for it.
        unsafe { by_address.replace(map) };
        Ok(())
    }

    /// Gives pages back all of whose blocks are free. If there is a map of pages, it leads to none
    /// of these, and nobody else uses the pool.
    fn give_back_free_pages(&self) -> usize {
        self.end_quarantine();
        let mut freed = 0usize;

        for slab in self.chunks.slabs() {
            for page in 0..self.layout.pages {
                // SAFETY: No map leads to it.
                let Some(memory) = (unsafe { slab.take_page(page, &self.layout) }) else {
                    continue;
                };

                self.check_free_blocks(slab, page, &memory, |_| true);
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
