// SPDX-License-Identifier: GPL-2.0

//! Whether all free blocks are published, for the tests.

use crate::{
    node::Kind,
    page::Page,
    raw_pool::RawPool, //
};

impl RawPool<'_> {
    /// Pages that no allocation would find but by looking at all of them, though they have a free
    /// block or could be populated.
    ///
    /// While nobody allocates or frees there must be none.
    pub(crate) fn unpublished_pages(&self) -> usize {
        let is_published = |page: Page<'_>, kind| {
            page.leaf()
                .is_some_and(|leaf| leaf.leads_to(kind, page.slot()))
        };
        let is_of_a_cpu = |page| self.cpus.iter().any(|cpu| cpu.has(page));

        self.all_pages()
            .filter(|&page| match page.blocks() {
                0 => !is_published(page, Kind::Unpopulated),
                _ => {
                    page.count_free() != 0
                        && !is_of_a_cpu(page)
                        && !is_published(page, Kind::Partial)
                }
            })
            .count()
    }

    /// How many page records there are, populated or not.
    pub(crate) fn records(&self) -> u32 {
        // CAST: A tree has fewer.
        self.tree.pages().count() as u32
    }
}
