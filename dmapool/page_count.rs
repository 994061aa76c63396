// SPDX-License-Identifier: GPL-2.0

//! How many pages a pool has, and how many it may have.
//!
//! A pool needs another page when a search has found no free block: the pages that were there when
//! it began are all in use. It may have half as many again as it was seen to need, and two more
//! for each CPU. Within that it grows though there are free blocks: several pages at once, if they
//! can be joined, and for CPUs that find next to nothing.

use crate::bitmap::read_once;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Pages of a pool.
///
/// All is relaxed: these are numbers, from which nobody infers what is in a page.
pub(crate) struct PageCount {
    /// Pages that have memory.
    pages: Atomic<u32>,
    /// The same with those that somebody is about to add.
    promised: Atomic<u32>,
    /// So many may be promised before the pool is seen to need more.
    most: Atomic<u32>,
}

impl PageCount {
    pub(crate) fn new() -> Self {
        Self {
            pages: Atomic::new(0),
            promised: Atomic::new(0),
            most: Atomic::new(0),
        }
    }

    /// How many pages have memory.
    pub(crate) fn get(&self) -> u32 {
        read_once(&self.pages)
    }

    /// Notes that a search has found no free block, and that there were `pages` when it began.
    pub(crate) fn need_more_than(&self, pages: u32) {
        let most = pages.saturating_add(pages / 2);

        // If two do this at once, the lower number may stay until the next one comes.
        if read_once(&self.most) < most {
            self.most.store(most, Relaxed);
        }
    }

    /// Promises as many pages as the pool may have, at least `least` and `limit` at the most.
    /// Returns how many, for which [`PageCount::keep`] is to be called.
    pub(crate) fn promise(&self, least: u32, limit: u32) -> u32 {
        let mut before = read_once(&self.promised);

        loop {
            let left = read_once(&self.most).saturating_sub(before);
            let pages = left.min(limit).max(least);

            match self
                .promised
                .cmpxchg(before, before.saturating_add(pages), Relaxed)
            {
                Ok(_) => return pages,
                Err(now) => before = now,
            }
        }
    }

    /// Counts the pages that now have memory, of those that were promised.
    pub(crate) fn keep(&self, promised: u32, pages: u32) {
        self.pages.add(pages, Relaxed);
        // A page may be there from an attempt that got no further, which had promised more.
        self.promised.add(pages.wrapping_sub(promised), Relaxed);
    }

    /// Counts `pages` that have no memory any more.
    pub(crate) fn remove(&self, pages: u32) {
        self.pages.fetch_sub(pages, Relaxed);
        self.promised.fetch_sub(pages, Relaxed);
    }
}
