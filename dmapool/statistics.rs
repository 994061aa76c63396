// SPDX-License-Identifier: GPL-2.0

//! What a pool knows of itself. The fast path counts nothing: the free blocks are counted when
//! somebody asks.

use crate::{
    bitmap::read_once,
    raw_pool::RawPool, //
};
use kernel::sync::atomic::Relaxed;

/// What a pool holds at a moment; from [`crate::Pool::statistics`].
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::{
///         Bound,
///         Device, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::Pool;
///
/// fn report(dev: &Device<Bound>, pool: &Pool<'_>) {
///     let now = pool.statistics();
///
///     dev_info!(dev, "{} of {} blocks in {} pages\n", now.live, now.capacity, now.pages);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Pages of DMA memory.
    pub pages: u32,
    /// Blocks in these pages.
    pub capacity: u64,
    /// Blocks that are allocated: held as [`crate::Block`], out as [`crate::RawBlock`], forgotten.
    pub live: u64,
    /// About the most blocks that were allocated at once, as known when the pool grew or this was
    /// asked for. It may be too low by what the last growth added, and too high by the free blocks
    /// of other CPUs' pages.
    pub high_water: u64,
    /// Allocations that failed.
    pub failures: u64,
    /// Blocks that are to be kept for allocations that may not wait; see
    /// [`Options::min_nr`](crate::Options::min_nr).
    pub min_nr: usize,
    /// How many of these there are. They are neither free nor live.
    pub reserved: u64,
}

impl RawPool<'_> {
    /// See [`crate::Pool::statistics`].
    pub(crate) fn statistics(&self) -> Statistics {
        let capacity = self.capacity();
        let reserved = self.reserved();
        let live = capacity
            .saturating_sub(self.count_free())
            .saturating_sub(reserved);

        Statistics {
            pages: self.pages.get(),
            capacity,
            live,
            high_water: self.note_level(live),
            failures: read_once(&self.failures),
            min_nr: self.reserve.min_nr(),
            reserved,
        }
    }

    /// How many blocks the pages have.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.pages.get()).wrapping_mul(self.geometry().blocks_per_page().into())
    }

    pub(crate) fn count_free(&self) -> u64 {
        self.all_pages()
            .fold(0, |sum, page| sum.wrapping_add(page.count_free().into()))
    }

    /// How many blocks the reserve holds.
    pub(crate) fn reserved(&self) -> u64 {
        // CAST: Widening.
        self.reserve.len() as u64
    }

    /// Raises the high-water mark to `live` blocks if it is lower, and returns it.
    pub(crate) fn note_level(&self, live: u64) -> u64 {
        let mut mark = read_once(&self.high_water);

        while mark < live {
            // Relaxed: nothing is inferred from the mark.
            match self.high_water.cmpxchg(mark, live, Relaxed) {
                Ok(_) => return live,
                Err(now) => mark = now,
            }
        }
        mark
    }
}
