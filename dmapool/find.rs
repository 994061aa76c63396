// SPDX-License-Identifier: GPL-2.0

//! Finding a block when the page from which a CPU allocates has none at once.

use crate::{
    allocated::Allocated,
    bitmap::WORD_BITS,
    cpu_pages::CpuPages,
    node::Kind,
    page::Page,
    raw_pool::RawPool, //
};
use core::iter;
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::{
        atomic::Full,
        barrier::smp_mb, //
    }, //
};

/// A page of whose blocks less than one in this many is free is next to nothing.
///
/// A pool that grows so that its CPUs find more grows by about as large a part. Where a page has
/// fewer blocks than that, one free block is not next to nothing.
const POOR: u32 = 32;

/// Whether `page`, of which a block was taken just now, had next to nothing.
fn was_poor(page: Page<'_>) -> bool {
    let had = 1u32.saturating_add(page.count_free());

    had.saturating_mul(POOR) < page.blocks()
}

impl RawPool<'_> {
    /// Allocates a block from wherever there is one; from `last_resort` before the pool grows.
    pub(crate) fn find_or_grow<'a>(
        &'a self,
        flags: Flags,
        last_resort: impl Fn(&'a Self) -> Option<Allocated<'a>>,
    ) -> Result<Allocated<'a>> {
        let cpu = self.this_cpu();
        let pages = self.pages.get();

        if let Some(block) = self
            .take_current(cpu)
            .or_else(|| self.grow_for_cpu(cpu, flags))
            .or_else(|| self.search_own(cpu))
            .or_else(|| self.search(cpu))
            .or_else(|| self.take_freed(cpu))
            .or_else(|| self.steal(cpu))
            .or_else(|| last_resort(self))
        {
            return Ok(block);
        }

        self.grow_for_need(pages, flags).or_else(|err| {
            // A block may have been freed meanwhile, or not be published yet. And who has taken one
            // that this thread did not get may have freed another one before. This barrier, and
            // that in `publish_first_free`, let it be seen. What is missed is a block whose word
            // had another free one, so that no barrier followed its free, and one that is freed
            // into a word behind this look.
            smp_mb(Full);
            self.all_pages()
                .find_map(|page| self.take(cpu, page))
                .or_else(|| last_resort(self))
                .ok_or(err)
        })
    }

    /// Takes a block of `page` for `cpu`, if that has a free one.
    fn take<'pool>(&self, cpu: &CpuPages, page: Page<'pool>) -> Option<Allocated<'pool>> {
        // INVARIANT: `Page::take` returns a block that nobody else has.
        page.take().map(|bit| Allocated {
            page,
            place: self.spec.place_of(bit, cpu.marks()),
        })
    }

    /// Takes a block of the page from which `cpu` allocates, but of another word than before.
    fn take_current<'a>(&'a self, cpu: &'a CpuPages) -> Option<Allocated<'a>> {
        let block = self.take(cpu, cpu.alloc_from())?;

        // If the other word is that of the twins, then another CPU frees into the page. Its only
        // free block is the one that this has just freed, and so will the next one be.
        if block.page.blocks() <= WORD_BITS && !block.page.has_free() {
            cpu.note_find(1);
        }
        Some(block)
    }

    /// Takes a block of an announced page that stands where this CPU adds pages, and from which it
    /// allocates from now on.
    fn search_own<'a>(&'a self, cpu: &'a CpuPages) -> Option<Allocated<'a>> {
        let found = || {
            let tree = &self.tree;

            tree.find_own(Kind::Partial, cpu.own(), cpu.added())
        };

        // A page that was announced can have no free block by now.
        iter::from_fn(found).find_map(|page| {
            // SAFETY: The page is of this pool.
            unsafe { cpu.note_own(page) };
            self.take_found(cpu, page)
        })
    }

    /// Takes a block of any announced page, from which this CPU allocates from now on.
    fn search<'a>(&'a self, cpu: &'a CpuPages) -> Option<Allocated<'a>> {
        let found = || self.tree.find(Kind::Partial, cpu.search_from());

        iter::from_fn(found).find_map(|page| self.take_found(cpu, page))
    }

    /// Takes a block of `page`, which a search has found, as [`RawPool::take_and_switch`] does, and
    /// notes how much it had.
    fn take_found<'pool>(&self, cpu: &CpuPages, page: Page<'pool>) -> Option<Allocated<'pool>> {
        let block = self.take_and_switch(cpu, page)?;

        cpu.note_find(u32::from(was_poor(page)));
        Some(block)
    }

    /// Takes a block of `page`, from which this CPU allocates from now on if there is one.
    fn take_and_switch<'pool>(
        &self,
        cpu: &CpuPages,
        page: Page<'pool>,
    ) -> Option<Allocated<'pool>> {
        let block = self.take(cpu, page)?;

        self.switch_to(page);
        Some(block)
    }

    /// Takes a block of the page into which this CPU has freed, and from which it allocates from
    /// now on: that page is in its cache.
    fn take_freed<'a>(&'a self, cpu: &'a CpuPages) -> Option<Allocated<'a>> {
        self.take_and_switch(cpu, cpu.freed_into())
    }

    /// Takes a block of any CPU's page. This CPU's had none a moment ago.
    fn steal(&self, cpu: &CpuPages) -> Option<Allocated<'_>> {
        let block = self
            .cpus
            .iter()
            .flat_map(|one| [one.alloc_from(), one.freed_into()])
            .find_map(|page| self.take(cpu, page))?;

        // It has looked at the pages of all CPUs: that is as bad as to find next to nothing twice.
        cpu.note_find(2);
        Some(block)
    }
}
