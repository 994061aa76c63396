// SPDX-License-Identifier: GPL-2.0

//! How a free block comes to be found.
//!
//! A free block is *published* if its slab is announced in its chunk, or is the one from which some
//! CPU allocates. No free block may stay unpublished for longer than a thread needs to change that.
//! There are five moments at which one may be unpublished, and all of them come here:
//!
//! - a search has taken the announcement of a slab and a block of it: [`RawPool::switch_to`]. If it
//!   finds no block, whoever frees the next one sees an empty word;
//! - a page has got blocks: [`publish_first_free`] or [`RawPool::switch_to`];
//! - a slab is no longer that of a CPU, which has gone on to another one: [`RawPool::switch_to`];
//! - a block is freed, and its word had no free one: [`publish_first_free`];
//! - `shrink()` gives back blocks that it had taken: [`RawPool::publish`].
//!
//! Those of the reserve need not be published: who may have them looks at all of its slabs.

use super::{
    cpu::Cpu,
    pool::RawPool,
    slab::Slab,
    word::mb_after_atomic, //
};

impl RawPool<'_> {
    /// Announces `slab`, which is of this pool, if it has a free block.
    pub(crate) fn publish(&self, slab: Slab<'_>) {
        if slab.has_free(&self.layout) {
            slab.chunk().announce(slab);
        }
    }

    /// Makes `slab`, which is of this pool as `cpu` is, the one from which that CPU allocates,
    /// beginning with the word of `bit`, and so publishes it.
    ///
    /// The slab that it replaces is published. The exchange of the two was fully ordered, and comes
    /// before the look at the blocks of the old one: pairs with the barrier in
    /// [`publish_first_free`].
    pub(crate) fn switch_to(&self, cpu: &Cpu, slab: Slab<'_>, bit: u32) {
        // SAFETY: Both are of this pool, and the bit is one of the slab's.
        let old = unsafe { cpu.switch(slab, bit) };

        if old != slab {
            self.publish(old);
        }
    }
}

/// Publishes `slab`, of which this thread has just freed a block whose word had no free one, or to
/// which it has added some. That was a read-modify-write operation.
#[cold]
#[inline(never)]
pub(crate) fn publish_first_free(slab: Slab<'_>) {
    // Makes that operation a full barrier. Pairs with the exchange in `Cpu::switch`. Either this
    // thread sees that `slab` is no longer that of this CPU, or whoever replaced it sees the free
    // block. And in `find_or_grow`, whoever has seen what this thread takes next sees it.
    mb_after_atomic();

    if RawPool::of(slab).cpus.this().current() != slab {
        slab.chunk().announce(slab);
    }
}
