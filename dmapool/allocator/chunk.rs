// SPDX-License-Identifier: GPL-2.0

//! Chunks of up to 64 slabs, and a word for each that says which of them have a free block: by that
//! a search passes by those that have none.
//!
//! A CPU that adds a slab has a chunk for that, which it fills, and then another one. So CPUs
//! search and announce in different chunks. Neither chunks nor slabs leave before the pool is
//! destroyed; that is what makes it safe to walk them without a lock.

use super::super::sys::prelude::*;
use super::{
    layout::SlabLayout,
    slab::Slab,
    word::{
        read_once,
        Word,
        WORD_BITS, //
    },
};
use core::array;

/// Slabs of a chunk.
const SLABS: u32 = WORD_BITS;

/// In the place of an owner, for chunks of a reserve.
pub(crate) const OF_RESERVE: u32 = u32::MAX;

/// # Invariants
///
/// - A slab, once it is not null, never changes, and lives as long as the chunk. Those that there
///   are stand in the first places.
/// - `next` and `older` are null or chunks of the same pool that live as long, and never change
///   once this one is in a [`ChunkList`].
/// - `pool` is the pool to which the chunk belongs, as [`RawPool`](super::pool::RawPool) knows it,
///   and outlives it.
#[repr(align(64))]
pub(crate) struct Chunk {
    /// Bit n is set if slab n may have a free block. A set bit can be stale; a clear one is right,
    /// except for the moment before somebody sets it, and for a slab of some CPU.
    announced: Word,
    pool: NonNull<c_void>,
    /// The number of the first slab.
    first: u32,
    /// The CPU that adds slabs here.
    owner: u32,
    /// The chunk to which that CPU has added slabs before.
    older: *mut Chunk,
    next: *mut Chunk,
    slabs: [Atomic<*mut Word>; SLABS as usize],
}

// SAFETY: All that changes in a chunk is atomic, and the pointers are as good as shared references.
unsafe impl Send for Chunk {}
// SAFETY: As above.
unsafe impl Sync for Chunk {}

impl Chunk {
    /// A chunk without slabs, with the next one of `numbers`, to which CPU `owner` will add slabs.
    ///
    /// # Safety
    ///
    /// `pool` must be what the type invariants say, and `older` a chunk of it.
    pub(crate) unsafe fn new(
        pool: NonNull<c_void>,
        numbers: &Atomic<u32>,
        owner: u32,
        older: Option<&Chunk>,
        flags: Flags,
    ) -> Result<KBox<Self>> {
        // INVARIANT: There is no slab. The caller vouches for the rest.
        let mut chunk = KBox::new(
            Self {
                announced: Word::new(0),
                pool,
                first: 0,
                owner,
                older: older.map_or(null_mut(), |older| NonNull::from(older).as_ptr()),
                next: null_mut(),
                slabs: array::from_fn(|_| Atomic::new(null_mut())),
            },
            flags,
        )?;

        // Only now: no number is lost if there is no memory.
        // Relaxed: nothing is inferred from the number.
        let number = numbers.fetch_add(1, Relaxed);
        chunk.first = number.checked_mul(SLABS).ok_or(ENOMEM)?;
        Ok(chunk)
    }

    /// The pool to which the chunk belongs. [`RawPool::of`] gives it its type.
    ///
    /// [`RawPool::of`]: super::pool::RawPool::of
    #[inline]
    pub(crate) fn pool(&self) -> NonNull<c_void> {
        self.pool
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    pub(crate) fn is_of_reserve(&self) -> bool {
        self.owner == OF_RESERVE
    }

    pub(crate) fn older(&self) -> Option<&Chunk> {
        // SAFETY: By the type invariants it is null or a chunk that lives as long.
        unsafe { self.older.as_ref() }
    }

    /// This chunk and those that follow it in its list.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        // SAFETY: As above.
        iter::successors(Some(self), |chunk| unsafe { chunk.next.as_ref() })
    }

    /// The slab in place `place`, if there is one.
    ///
    /// What is loaded through the pointer depends on its address, as with C's `rcu_dereference()`,
    /// and so is seen as [`Chunk::adopt`] released it.
    fn slab(&self, place: u32) -> Option<Slab<'_>> {
        let slab = NonNull::new(read_once(self.slabs.get(place as usize)?))?;

        // SAFETY: By the type invariants this is a slab, which lives as long as the chunk.
        Some(unsafe { Slab::from_raw(slab) })
    }

    /// The slab with that number in its pool, if it stands here.
    pub(crate) fn slab_numbered(&self, number: u32) -> Option<Slab<'_>> {
        self.slab(number.wrapping_sub(self.first))
    }

    /// All slabs, in the order of their numbers.
    pub(crate) fn slabs(&self) -> impl Iterator<Item = Slab<'_>> {
        (0..SLABS).map_while(|place| self.slab(place))
    }

    /// Adds `slab`, and does not announce it. Returns whether there was room for it.
    ///
    /// # Safety
    ///
    /// The caller must be the only one who has `slab`, and must not free it if this succeeds.
    pub(crate) unsafe fn adopt(&self, slab: Slab<'_>) -> bool {
        (0..SLABS)
            .zip(&self.slabs)
            .filter(|(_, entry)| read_once(*entry).is_null())
            // INVARIANT: Only null is replaced, and all places before this one are in use.
            // Full: releases the slab's contents to those who load the pointer.
            // SAFETY: The slab is in no chunk before this succeeds, and is the caller's alone.
            .any(|(place, entry)| unsafe {
                slab.link(NonNull::from(self).cast(), self.first.wrapping_add(place));
                entry
                    .cmpxchg(null_mut(), slab.as_raw().as_ptr(), Full)
                    .is_ok()
            })
    }

    /// Announces that `slab`, which stands here, has a free block.
    pub(crate) fn announce(&self, slab: Slab<'_>) {
        self.announced.set(slab.number().wrapping_sub(self.first));
    }

    /// Finds an announced slab behind `last`, or from the beginning if there is none, and takes its
    /// announcement, so that no other search finds it.
    pub(crate) fn find(&self, last: Option<Slab<'_>>) -> Option<Slab<'_>> {
        let from = last.map_or(0, |slab| {
            slab.number().wrapping_sub(self.first).wrapping_add(1)
        });
        let places = u64::MAX.checked_shl(from).unwrap_or(0);

        self.slab(self.announced.take_first(places)?)
    }

    /// Whether a search would find `slab`, which stands here.
    #[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
    pub(crate) fn announces(&self, slab: Slab<'_>) -> bool {
        let place = slab.number().wrapping_sub(self.first);

        self.announced.bits() & 1u64.wrapping_shl(place) != 0
    }
}

/// Chunks of a pool, the newest first.
///
/// # Invariants
///
/// `newest` is null or a chunk. That one and all that follow it were allocated as a [`KBox`], are
/// owned by this, and live as long.
pub(crate) struct ChunkList {
    newest: Atomic<*mut Chunk>,
}

impl ChunkList {
    pub(crate) fn new() -> Self {
        // INVARIANT: There is none.
        Self {
            newest: Atomic::new(null_mut()),
        }
    }

    /// Adds `chunk`.
    pub(crate) fn add(&self, chunk: KBox<Chunk>) -> &Chunk {
        let chunk = KBox::into_raw(chunk);

        loop {
            // Acquire: those that find this chunk find that one through it.
            let newest = self.newest.load(Acquire);

            // SAFETY: Nobody else knows the chunk before it is in the list.
            unsafe { (*chunk).next = newest };
            // INVARIANT: It comes from a box, and those that there were follow it.
            // Full: releases the chunk to those who load the pointer.
            if self.newest.cmpxchg(newest, chunk, Full).is_ok() {
                // SAFETY: By the type invariants it lives as long as this.
                return unsafe { &*chunk };
            }
        }
    }

    /// All chunks, the newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        // Acquire: pairs with `add`.
        // SAFETY: By the type invariants this is null or a chunk that lives as long.
        let newest = unsafe { self.newest.load(Acquire).as_ref() };

        newest.into_iter().flat_map(Chunk::iter)
    }

    /// All slabs.
    pub(crate) fn slabs(&self) -> impl Iterator<Item = Slab<'_>> {
        self.iter().flat_map(Chunk::slabs)
    }

    /// How many blocks of these are free; a snapshot.
    pub(crate) fn count_free(&self, layout: &SlabLayout) -> u64 {
        self.slabs().fold(0, |sum, slab| {
            sum.wrapping_add(slab.count_free(layout).into())
        })
    }
}

impl Drop for ChunkList {
    /// Frees the chunks. Freeing the slabs is up to the pool.
    fn drop(&mut self) {
        let mut chunk = read_once(&self.newest);

        while !chunk.is_null() {
            // SAFETY: By the type invariants it comes from a box, and nobody uses it any more.
            chunk = unsafe { KBox::from_raw(chunk) }.next;
        }
    }
}

impl<'pool> Slab<'pool> {
    /// The chunk in which the slab stands.
    #[inline]
    pub(crate) fn chunk(self) -> &'pool Chunk {
        // SAFETY: By the invariants of its header the slab stands in that chunk, which lives as
        // long, and `adopt` has linked it.
        unsafe { self.chunk_ptr().cast().as_ref() }
    }
}
