// SPDX-License-Identifier: GPL-2.0

//! How a free block comes to be found.
//!
//! A free block is *published* if its page is announced in the page tree, or is one of some CPU's
//! pages. No free block may stay unpublished for longer than a thread needs to change that. There
//! are four moments at which one may be unpublished, and all of them come here:
//!
//! - a page is new: [`publish`] or [`RawPool::switch_to`];
//! - a page is no longer that of a CPU, which has gone on to another one: [`publish_replaced`];
//! - a block is freed, and its word had no free one: [`publish_first_free`];
//! - `shrink()` gives back words that it had taken: [`publish`].

use crate::{
    bitmap::mb_after_atomic,
    cpu_pages::CpuPages,
    node::Kind,
    page::Page,
    raw_pool::RawPool, //
};

/// Announces `page`, if it has a free block.
pub(crate) fn publish(page: Page<'_>) {
    if page.has_free() {
        page.announce(Kind::Partial);
    }
}

impl RawPool<'_> {
    /// Makes `page`, which is of this pool, the one from which this CPU allocates, and so publishes
    /// it.
    pub(crate) fn switch_to(&self, page: Page<'_>) {
        let cpu = self.this_cpu();
        // SAFETY: `cpu` is of the page's pool.
        let old = unsafe { cpu.set_alloc_from(page, &self.spec) };

        publish_replaced(cpu, old, page);
    }
}

/// Publishes `old`, which `new` has replaced as a page of `cpu`, unless `cpu` goes on allocating
/// from it.
///
/// The exchange of the two was fully ordered, and comes before the look at the blocks of `old`.
/// Pairs with the barrier in [`publish_first_free`].
fn publish_replaced(cpu: &CpuPages, old: Page<'_>, new: Page<'_>) {
    if old != new && old != cpu.alloc_from() {
        publish(old);
    }
}

/// Publishes `page`, of which this thread has just freed a block whose word had no free one. That
/// was a read-modify-write operation.
///
/// The page becomes the one that this CPU has freed into, and the page that was is published.
#[cold]
#[inline(never)]
pub(crate) fn publish_first_free(page: Page<'_>) {
    // Makes that operation a full barrier. Pairs with the exchange in `CpuPages::exchange`. Either
    // this thread sees that `page` is no longer a page of this CPU, or whoever replaced it sees the
    // free block. And in `find_or_grow`, whoever has seen what this thread takes next sees it.
    mb_after_atomic();

    let Some(pool) = RawPool::of(page) else {
        return;
    };
    let cpu = pool.this_cpu();

    if !cpu.has(page) {
        // SAFETY: `cpu` is of the page's pool.
        let old = unsafe { cpu.set_freed_into(page) };

        publish_replaced(cpu, old, page);
    }
}
