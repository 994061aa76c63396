// SPDX-License-Identifier: GPL-2.0

//! Shrinking a pool of the interface for C, which has that in a module only.

use super::super::{
    allocator::{
        map::Map,
        pool::RawPool, //
    },
    sys::prelude::*, //
};

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
        // Before the map: a page whose blocks wait would be in it, and go.
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
