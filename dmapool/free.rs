// SPDX-License-Identifier: GPL-2.0

//! Freeing a block: its bit goes back to the page. Only a pool that fills freed blocks, or keeps
//! some in a reserve, has more to do.

use crate::{
    allocated::Allocated,
    publish::publish_first_free,
    raw_pool::RawPool, //
};

impl Allocated<'_> {
    /// Frees the block. Any context.
    ///
    /// # Safety
    ///
    /// Neither the block nor this value must be used after this.
    #[inline]
    pub(crate) unsafe fn free(&self) {
        // SAFETY: The caller does not use the block after this.
        unsafe {
            if self.place.has_slow_free() {
                self.free_slow();
            } else {
                self.give_to_page();
            }
        }
    }

    /// # Safety
    ///
    /// As [`Allocated::free`].
    #[inline]
    pub(crate) unsafe fn give_to_page(&self) {
        // SAFETY: By the type invariants the block is allocated, and the caller does not use it
        // after this.
        if unsafe { self.page.give(self.place.bit()) } {
            publish_first_free(self.page);
        }
    }

    /// # Safety
    ///
    /// As [`Allocated::free`].
    #[cold]
    #[inline(never)]
    unsafe fn free_slow(&self) {
        if let Some(pool) = RawPool::of(self.page) {
            pool.fill_freed(self);
            // SAFETY: The block is of this pool, and the caller does not use it after this.
            if unsafe { pool.reserve.put(self) } {
                return;
            }
        }
        // SAFETY: The caller does not use the block after this.
        unsafe { self.give_to_page() };
    }
}

impl RawPool<'_> {
    /// Fills a block of this pool with what free blocks hold, if that is anything.
    pub(crate) fn fill_freed(&self, block: &Allocated<'_>) {
        if let Some(value) = self.init.on_free() {
            // SAFETY: That is how much belongs to each of this pool's blocks.
            unsafe { block.fill(value, self.geometry().stride()) };
        }
    }
}
