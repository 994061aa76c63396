// SPDX-License-Identifier: GPL-2.0

//! Shrinking: giving pages back without allocated blocks.

use super::super::sys::prelude::*;
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
        self.give_back_free_pages()
    }

    pub(crate) fn may_shrink(&self) -> bool {
        let may = context::may_sleep();

        if !may {
            self.err(fmt!("not shrunk where nothing may sleep"));
        }
        may
    }

    /// Gives pages back all of whose blocks are free. If there is a map of pages, it leads to none
    /// of these, and nobody else uses the pool.
    pub(crate) fn give_back_free_pages(&self) -> usize {
        self.end_quarantine();
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
