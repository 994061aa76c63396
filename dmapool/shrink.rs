// SPDX-License-Identifier: GPL-2.0

//! Shrinking: giving the memory of unused pages back to the system.

use crate::{
    context,
    node::Kind,
    publish::publish,
    raw_pool::RawPool, //
};
use kernel::prelude::*;

impl RawPool<'_> {
    /// See [`crate::Pool::shrink`].
    pub(crate) fn shrink(&self) -> usize {
        let mut freed = 0usize;
        let mut late_writes = 0u32;

        // The address map refers to the memory of all pages.
        if self.addresses.is_some() {
            return 0;
        }
        if !context::may_sleep() {
            dev_err!(
                self.dev,
                "rust_dmapool: pool {}: not shrunk where nothing may sleep\n",
                crate::c_string::Readable(&self.name)
            );
            return 0;
        }

        for page in self.all_pages().filter(|page| page.all_free()) {
            // SAFETY: There is no address map.
            let Some(memory) = (unsafe { page.unpopulate() }) else {
                // A search may have come by while this thread had taken some words, and have found
                // no free block.
                publish(page);
                continue;
            };
            let pages = self.pages_in(&memory);

            self.check_free_blocks(&memory, |_| true, &mut late_writes);
            // CAST: It was a `u32` when the pages were counted.
            self.pages.remove(pages as u32);
            self.give_back(memory);
            freed = freed.wrapping_add(pages);
            page.announce(Kind::Unpopulated);
        }
        self.report_late_writes(late_writes);
        freed
    }
}
