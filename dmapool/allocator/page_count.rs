// SPDX-License-Identifier: GPL-2.0

//! How many pages a pool has, and how many it may have.

use super::super::sys::prelude::*;
use super::word::read_once;

/// How many pages a pool has, and may have.
///
/// All is relaxed: these are numbers, from which nobody infers what is in a page.
pub(crate) struct PageCount {
    pub(super) pages: Atomic<u32>,
    /// So many the pool may have before it is seen to need more.
    most: Atomic<u32>,
    /// About how many pages of slabs are vacant that no CPU will come to by itself.
    pub(super) vacant: Atomic<u32>,
}

impl PageCount {
    pub(crate) fn new() -> Self {
        Self {
            pages: Atomic::new(0),
            most: Atomic::new(0),
            vacant: Atomic::new(0),
        }
    }

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

    /// Whether there may be more pages than there are.
    pub(crate) fn may_grow(&self) -> bool {
        self.get() < read_once(&self.most)
    }
}
