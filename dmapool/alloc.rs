// SPDX-License-Identifier: GPL-2.0

//! Allocating: a block of the page from which this CPU allocates, or of wherever there is one.

use crate::{
    allocated::Allocated,
    gfp,
    raw_pool::RawPool, //
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::atomic::Relaxed, //
};

impl RawPool<'_> {
    /// See [`crate::Pool::alloc`].
    #[inline]
    pub(crate) fn alloc(&self, flags: Flags) -> Result<Allocated<'_>> {
        match self.alloc_at_once(flags) {
            Some(block) => Ok(block),
            None => self.alloc_slow(flags),
        }
    }

    /// Allocates a block if this CPU's page has one at once, and nothing is to be done to it. Tells
    /// the kernel's checkers of `flags` in any case.
    #[inline(always)]
    pub(crate) fn alloc_at_once(&self, flags: Flags) -> Option<Allocated<'_>> {
        if !self.begin(flags) {
            return None;
        }
        self.this_cpu().try_alloc(
            |bit, marks| self.spec.place_in_dense(bit, marks),
            || self.use_twins(),
        )
    }

    /// The same in a pool whose frees are checked, for a caller who frees the block by its address,
    /// and who has told the checkers.
    ///
    /// # Safety
    ///
    /// Frees of the pool must be checked, and it must have `plain_alloc`.
    #[inline(always)]
    pub(crate) unsafe fn alloc_checked_at_once(&self, flags: Flags) -> Option<Allocated<'_>> {
        if flags.contains(__GFP_ZERO) {
            return None;
        }
        self.this_cpu()
            .try_alloc_single(|index| self.spec.place_of_single(index))
    }

    /// Has the blocks that this CPU allocates be given back by the other one of their twins:
    /// somebody else writes to the word from which it takes bits.
    #[cold]
    #[inline(never)]
    fn use_twins(&self) {
        self.this_cpu().use_twins(&self.spec);
    }

    /// What comes first in each allocation. Returns whether it is a plain one.
    #[inline(always)]
    fn begin(&self, flags: Flags) -> bool {
        // Without this, misuse would show only when growing.
        gfp::might_alloc(flags);

        self.is_plain(flags)
    }

    /// Allocates a block in any case, after [`RawPool::alloc_at_once`] has not.
    #[cold]
    #[inline(never)]
    pub(crate) fn alloc_slow(&self, flags: Flags) -> Result<Allocated<'_>> {
        if self.is_plain(flags) {
            return self.alloc_elsewhere(flags);
        }
        let block = self.alloc_uninit(flags)?;

        if self.must_init(flags) {
            self.init_block(&block, flags);
        }
        Ok(block)
    }

    /// Whether a block is placed by a multiplication, and then left as it is.
    #[inline(always)]
    fn is_plain(&self, flags: Flags) -> bool {
        self.plain_alloc && !flags.contains(__GFP_ZERO)
    }

    /// Allocates a block, and leaves in it what there is.
    fn alloc_uninit(&self, flags: Flags) -> Result<Allocated<'_>> {
        match self.alloc_from_own() {
            Some(block) => Ok(block),
            None => self.alloc_elsewhere(flags),
        }
    }

    /// Allocates a block of this CPU's page if that is possible at once, and leaves in it what
    /// there is.
    pub(crate) fn alloc_from_own(&self) -> Option<Allocated<'_>> {
        self.this_cpu().try_alloc(
            |bit, marks| self.spec.place_of(bit, marks),
            || self.use_twins(),
        )
    }

    /// Allocates a block when this CPU's page has none at once, and leaves in it what there is.
    fn alloc_elsewhere(&self, flags: Flags) -> Result<Allocated<'_>> {
        let result = self.find_or_grow(flags, |pool| {
            // Whoever may wait obtains memory from the system rather than a block of the reserve.
            if gfp::may_block(flags) {
                return None;
            }
            pool.reserve.take()
        });

        // The reserve may have been taken from, or found empty.
        self.refill_later(flags);
        if result.is_err() {
            // Relaxed: a count for people to read.
            self.failures.add(1u64, Relaxed);
        }
        result
    }

    /// See [`crate::Pool::alloc_bulk`]. Calls `f` with each block, `count` times if this succeeds.
    /// Initializing them is left to the caller.
    #[inline]
    pub(crate) fn alloc_bulk<'pool>(
        &'pool self,
        count: usize,
        flags: Flags,
        mut f: impl FnMut(Allocated<'pool>),
    ) -> Result {
        let spec = self.spec;
        let mut left = count;

        while left > 0 {
            // One block in the usual way, which finds or makes a page to take more from.
            let first = self.alloc_uninit(flags)?;
            let page = first.page;

            f(first);
            left = left.wrapping_sub(1);
            let marks = self.this_cpu().marks();
            let more = page.take_many(left, |bit| {
                // INVARIANT: `take_many` returns blocks that nobody else has.
                f(Allocated {
                    page,
                    place: spec.place_of(bit, marks),
                })
            });
            left = left.saturating_sub(more);
        }
        Ok(())
    }
}
