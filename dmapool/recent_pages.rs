// SPDX-License-Identifier: GPL-2.0

//! The pages in whose memory addresses were looked for recently.
//!
//! The address map's xarray finds the page of an address in several steps, which take longer than
//! all else that a free does. What it has found is kept in a table, where one step is enough.
//! There are four places or more for each page, and addresses that follow each other have places
//! that do, so two pages seldom want the same one. Of two that do, the one is kept that was looked
//! for last.
//!
//! A table that has become too small is replaced by a larger one, which fills up anew. The old ones
//! stay until the pool is destroyed: somebody may look at them.

use crate::{
    bitmap::read_once,
    geometry::Geometry,
    gfp,
    page::{
        Page,
        Record, //
    },
};
use core::ptr::{
    from_ref,
    null_mut,
    NonNull, //
};
use kernel::{
    alloc::Flags,
    dma::DmaAddress,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed,
        Release, //
    },
};

/// Places of a table, once there is a page.
const LEAST: usize = 64;

/// Places of the largest table, which takes half a megabyte. Larger pools have fewer for each page.
const MOST: usize = 1 << 16;

/// Places for each page.
const PLACES: usize = 4;

/// Null, or the record of a page.
type Place = Atomic<*mut Record>;

/// Pages by the address of their memory.
///
/// # Invariants
///
/// - The number of `places` is a power of two and at least 2, and `plain_mask` is less. `first` is
///   the first of them.
/// - Each of them is null, or the record of a page in the address map to which this belongs.
/// - `older` is null, or the table that this one has replaced.
struct Table {
    /// What leaves of a number that of a place; 0 in a pool whose frees are not plain. Then the
    /// first place is kept empty.
    plain_mask: usize,
    /// Never changes, and yet is no plain pointer: see [`Table::at`].
    first: Atomic<*mut Place>,
    places: Pin<KBox<[Place]>>,
    older: *mut Table,
}

impl Table {
    /// A table of `len` places, a power of two, without a page. It replaces `older`, or nothing if
    /// that is null.
    fn new(len: usize, plain: bool, older: *mut Self, flags: Flags) -> Result<KBox<Self>> {
        let place = |_| Ok::<_, Error>(Place::new(null_mut()));
        let places: Pin<KBox<[Place]>> = KBox::pin_slice(place, len, flags)?;

        // INVARIANT: All places are null, and there are `len`. A box does not move what it holds.
        Ok(KBox::new(
            Self {
                plain_mask: if plain { len.wrapping_sub(1) } else { 0 },
                first: Atomic::new(places.as_ptr().cast_mut()),
                places,
                older,
            },
            flags,
        )?)
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn is_plain(&self) -> bool {
        self.plain_mask != 0
    }

    /// A place.
    ///
    /// It is seen as it was when the table was released: what is loaded through the pointer to the
    /// first place depends on its address, as that depends on the address of the table. For the
    /// kernel's memory model the second of these steps must begin with a read that is marked, too.
    ///
    /// # Safety
    ///
    /// There must be more than `index` places.
    #[inline(always)]
    unsafe fn at(&self, index: usize) -> &Place {
        // SAFETY: By the type invariants this is one of `places`.
        unsafe { &*read_once(&self.first).add(index) }
    }

    /// The place of the page in which the numbered piece of memory lies.
    fn place(&self, number: usize) -> &Place {
        let index = number & self.len().wrapping_sub(1);
        let first = if self.is_plain() { 0 } else { 1 };

        // SAFETY: By the type invariants there is such a place.
        unsafe { self.at(index.max(first)) }
    }

    /// The same if frees are plain. If they are not, it is one that stays null.
    #[inline(always)]
    fn plain_place(&self, number: usize) -> &Place {
        // SAFETY: By the type invariants there is such a place.
        unsafe { self.at(number & self.plain_mask) }
    }
}

/// Pages that are found without the xarray.
///
/// # Invariants
///
/// `newest` and all tables that were replaced come from a [`KBox`], and live as long as this.
pub(crate) struct RecentPages {
    newest: Atomic<*mut Table>,
    /// By how much to shift an address, so that the pool's largest pages follow each other.
    shift: u32,
    /// Pages that were counted.
    count: Atomic<u32>,
}

// SAFETY: All that changes in a table is atomic, and the pointers are as good as shared references.
unsafe impl Send for RecentPages {}
// SAFETY: As above.
unsafe impl Sync for RecentPages {}

impl RecentPages {
    /// Process context; may sleep. [`RecentPages::find_plain`] finds nothing unless `plain`.
    pub(crate) fn new(geometry: &Geometry, plain: bool) -> Result<Self> {
        let table = Table::new(2, plain, null_mut(), GFP_KERNEL)?;

        // INVARIANT: The table comes from a box.
        Ok(Self {
            newest: Atomic::new(KBox::into_raw(table)),
            shift: geometry
                .page_size()
                .checked_ilog2()
                .unwrap_or(0)
                .wrapping_add(geometry.max_order()),
            count: Atomic::new(0),
        })
    }

    #[inline(always)]
    fn newest(&self) -> &Table {
        // What is loaded through the pointer depends on its address, as with C's
        // `rcu_dereference()`, and so is seen as `make_room` has released it.
        // SAFETY: By the type invariants this is a table, which lives as long as `self`.
        unsafe { &*read_once(&self.newest) }
    }

    #[inline(always)]
    fn number(&self, dma: DmaAddress) -> usize {
        // CAST: Both have 64 bits.
        dma.wrapping_shr(self.shift) as usize
    }

    /// What is in a place.
    ///
    /// # Safety
    ///
    /// `place` must be one of a table of this.
    #[inline(always)]
    unsafe fn page_in(&self, place: &Place) -> Option<Page<'_>> {
        let record = NonNull::new(read_once(place))?;

        // SAFETY: By the type invariants this is a record, which lives as long as the pool.
        Some(unsafe { Page::from_raw(record) })
    }

    /// A page in whose memory `dma` may lie. Any context.
    pub(crate) fn find(&self, dma: DmaAddress) -> Option<Page<'_>> {
        // SAFETY: It is a place of a table of this.
        unsafe { self.page_in(self.newest().place(self.number(dma))) }
    }

    /// The same, if there is nothing more to do when a block of this pool is freed than to give its
    /// bit back. Any context.
    #[inline(always)]
    pub(crate) fn find_plain(&self, dma: DmaAddress) -> Option<Page<'_>> {
        // SAFETY: It is a place of a table of this.
        unsafe { self.page_in(self.newest().plain_place(self.number(dma))) }
    }

    /// Has both find `page`, in whose memory `dma` lies. Any context.
    ///
    /// # Safety
    ///
    /// `page` must be in the address map to which this belongs.
    pub(crate) unsafe fn note(&self, page: Page<'_>, dma: DmaAddress) {
        let place = self.newest().place(self.number(dma));

        // INVARIANT: The caller vouches for `page`.
        // Release: what this thread has seen of the record is seen through the place as well.
        place.store(page.as_raw().as_ptr(), Release);
    }

    /// Makes room for one page more, if that is easy. Any context that `flags` allow.
    pub(crate) fn make_room(&self, flags: Flags) {
        // Relaxed: nothing is inferred from the count.
        let count = self.count.fetch_add(1, Relaxed).wrapping_add(1);
        let newest = self.newest();
        // CAST: `usize` has 64 bits.
        let len = (count as usize)
            .saturating_mul(PLACES)
            .clamp(LEAST, MOST)
            .next_power_of_two();
        if len <= newest.len() {
            return;
        }
        let older = from_ref(newest).cast_mut();
        let Ok(table) = Table::new(len, newest.is_plain(), older, gfp::without_effort(flags))
        else {
            return;
        };
        let table = KBox::into_raw(table);

        // INVARIANT: It has just come from a box.
        // Full: releases the table to those who load the pointer.
        if self.newest.cmpxchg(older, table, Full).is_err() {
            // SAFETY: It has just come from a box, and nobody else knows it.
            drop(unsafe { KBox::from_raw(table) });
        }
    }
}

impl Drop for RecentPages {
    fn drop(&mut self) {
        let mut table = read_once(&self.newest);

        while !table.is_null() {
            // SAFETY: By the type invariants it comes from a box, and nobody uses it any more.
            table = unsafe { KBox::from_raw(table) }.older;
        }
    }
}
