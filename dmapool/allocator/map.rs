// SPDX-License-Identifier: GPL-2.0

//! From a number to a page of a slab: from the DMA address of a block that is freed by it, or from
//! the number of the slab that a token names.
//!
//! A table of slabs, in which each stands at its number, or somewhere else where that place was
//! taken. Numbers that follow each other have places that do, and most places are free, so the
//! first look nearly always finds it. Nothing is ever taken out.
//!
//! A table in which a quarter of the places is taken by new entries is followed by a larger one.
//! What is not found in that is looked for in those before it, which stay, and gets a place in the
//! newest one when it is found. Another quarter is for these.

use super::super::sys::prelude::*;
use super::{
    super::sys::gfp,
    slab::Slab,
    word::{
        read_once,
        Word, //
    },
};
use core::alloc::Layout;
use kernel::alloc::{
    allocator::Kmalloc,
    Allocator, //
};

/// Places of the first table.
const LEAST: usize = 8;

/// Places of the largest table: half a megabyte, for which the system gives one.
const MOST: usize = 1 << 16;

/// By so much a table is larger than the one that it follows.
const FACTOR: usize = 4;

/// Of so many places one is used at most for new entries, and one for those of older tables.
const PLACES: usize = 4;

/// How far it is from a place that is taken to the next one to look at: odd, so that it leads to
/// all of them, and out of a row of places that are taken.
const STEP: usize = 0x9e37;

/// Null, or a slab with the number of one of its pages, as [`Slab::as_raw_with`] has it.
type Place = Atomic<*mut Word>;

/// The beginning of a table. Its places follow in memory.
///
/// # Invariants
///
/// - `mask` and one is a power of two, the number of places. Most of them are null.
/// - Each place is null or of a slab that lives as long as the table. One that is not never
///   changes.
/// - `older` is null, or the table that this one follows, which lives as long.
#[repr(C)]
struct Table {
    mask: usize,
    /// Entries that were to be made.
    entries: Atomic<usize>,
    /// Those that were to be made because they were found in an older table. So that these never
    /// fill a table, they have places of their own.
    moved: Atomic<usize>,
    older: *mut Table,
}

fn layout_of(places: usize) -> Result<Layout> {
    let (layout, _) = Layout::new::<Table>()
        .extend(Layout::array::<Place>(places).map_err(|_| ENOMEM)?)
        .map_err(|_| ENOMEM)?;

    Ok(layout)
}

impl Table {
    /// A table of `places` places, a power of two, that are all null.
    fn new(places: usize, older: *mut Self, flags: Flags) -> Result<NonNull<Self>> {
        let layout = layout_of(places)?;
        let table = Kmalloc::alloc(layout, flags, NumaNode::NO_NODE)?.cast::<Self>();

        // INVARIANT: All places are null, and there are so many.
        // SAFETY: There is room for a table and these.
        unsafe {
            table.cast::<u8>().write_bytes(0, layout.size());
            table.write(Self {
                mask: places.wrapping_sub(1),
                entries: Atomic::new(0),
                moved: Atomic::new(0),
                older,
            })
        };
        Ok(table)
    }

    /// # Safety
    ///
    /// `table` must come from [`Table::new`], and not be used any more.
    unsafe fn free(table: NonNull<Self>) {
        // SAFETY: By the requirements it is still there.
        let places = unsafe { table.as_ref() }.mask.wrapping_add(1);

        if let Ok(layout) = layout_of(places) {
            // SAFETY: It was allocated with this layout.
            unsafe { Kmalloc::free(table.cast(), layout) };
        }
    }

    /// The place at `number`, wherever that leads to.
    #[inline(always)]
    fn place(&self, number: usize) -> &Place {
        // SAFETY: By the type invariants this is one of the places that follow.
        unsafe {
            &*NonNull::from(self)
                .add(1)
                .cast::<Place>()
                .as_ptr()
                .add(number & self.mask)
        }
    }
}

/// The places for `number`, one after the other.
fn places_from(number: u64) -> impl Iterator<Item = usize> {
    // CAST: Both have 64 bits.
    iter::successors(Some(number as usize), |place| {
        Some(place.wrapping_add(STEP))
    })
}

/// What is in `place`, if that is not null: a slab, and the number of one of its pages.
#[inline(always)]
fn read(place: &Place) -> Option<(Slab<'_>, u32)> {
    let entry = NonNull::new(read_once(place))?;
    // SAFETY: By the invariants of `Table` this is a slab, which lives as long as the table.
    let (slab, page) = unsafe { Slab::from_raw_with(entry) };

    // CAST: A slab has some pages.
    Some((slab, page as u32))
}

/// Slabs by a number.
///
/// # Invariants
///
/// `newest` and all tables before it come from [`Table::new`], and live as long as this.
pub(crate) struct Map {
    newest: Atomic<*mut Table>,
}

// SAFETY: All that changes in a table is atomic, and the pointers are as good as shared references.
unsafe impl Send for Map {}
// SAFETY: As above.
unsafe impl Sync for Map {}

impl Map {
    /// Process context; may sleep.
    pub(crate) fn new() -> Result<Self> {
        // INVARIANT: The table is new.
        Ok(Self {
            newest: Atomic::new(Table::new(LEAST, null_mut(), GFP_KERNEL)?.as_ptr()),
        })
    }

    /// What is loaded through the pointer depends on its address, as with C's `rcu_dereference()`,
    /// and so is seen as [`Map::follow`] has released it.
    #[inline(always)]
    fn newest(&self) -> &Table {
        // SAFETY: By the type invariants this is a table, which lives as long as `self`.
        unsafe { &*read_once(&self.newest) }
    }

    /// The page that stands first at `number`, if any does; it may be another one's. Any context.
    #[inline(always)]
    pub(crate) fn first(&self, number: u64) -> Option<(Slab<'_>, u32)> {
        // CAST: Both have 64 bits.
        read(self.newest().place(number as usize))
    }

    /// The page at `number` of which `seek` has something to say, and that. Any context.
    pub(crate) fn find<R>(
        &self,
        number: u64,
        seek: impl Fn(Slab<'_>, u32) -> Option<R>,
    ) -> Option<(Slab<'_>, u32, R)> {
        let newest = self.newest();
        let mut table = newest;

        loop {
            // CAST: Both have 64 bits.
            let found = places_from(number)
                .map_while(|number| read(table.place(number)))
                .find_map(|(slab, page)| Some((slab, page, seek(slab, page)?)));

            if let Some((slab, page, _)) = &found {
                // If there is no room, it is found where it was.
                if !ptr::eq(table, newest) && newest.claim_place(&newest.moved) {
                    newest.enter(number, slab.as_raw_with(*page));
                }
                return found;
            }
            // SAFETY: By the type invariants it is null or a table that lives as long.
            table = unsafe { table.older.as_ref() }?;
        }
    }

    /// Claims room for one entry. Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: trying again is possible.
    pub(crate) fn claim(&self, flags: Flags) -> Result<Room<'_>> {
        let mut table = self.newest();

        while !table.claim_place(&table.entries) {
            table = self.follow(table, flags)?;
        }
        // INVARIANT: It has just been claimed.
        Ok(Room(table))
    }

    /// The table that follows `table`, which is full; a new one if there is none.
    fn follow(&self, table: &Table, flags: Flags) -> Result<&Table> {
        let older = NonNull::from(table).as_ptr();
        let places = table.mask.wrapping_add(1).saturating_mul(FACTOR).min(MOST);
        // A small one does, where there is no memory in one piece.
        let new = Table::new(places, older, gfp::without_effort(flags))
            .or_else(|_| Table::new(LEAST, older, flags))?;

        // INVARIANT: It is new, and follows the newest one.
        // Full: releases the table to those who load the pointer.
        if self.newest.cmpxchg(older, new.as_ptr(), Full).is_err() {
            // SAFETY: Nobody else knows it.
            unsafe { Table::free(new) };
        }
        Ok(self.newest())
    }

    /// Has what is in `other` be in this, and nothing else.
    ///
    /// # Safety
    ///
    /// Nobody else may use either meanwhile.
    #[cfg(MODULE)]
    pub(crate) unsafe fn replace(&self, other: Self) {
        // INVARIANT: Both have such tables. This one's go with `other`.
        let tables = self.newest.xchg(read_once(&other.newest), Full);

        other.newest.store(tables, Relaxed);
    }
}

impl Table {
    /// Whether there is a place for one more of those that `count` counts, which is the caller's
    /// then.
    fn claim_place(&self, count: &Atomic<usize>) -> bool {
        let most = self.mask.wrapping_add(1) / PLACES;

        // Relaxed: nothing is inferred from the number.
        read_once(count) < most && count.fetch_add(1, Relaxed) < most
    }

    /// Puts `entry` into the first place for `number` that is free. The caller has claimed one.
    fn enter(&self, number: u64, entry: NonNull<Word>) {
        for number in places_from(number) {
            let place = self.place(number);

            // INVARIANT: Only null is replaced. More places are null than are claimed.
            // Full: what this thread has seen of the slab is seen through the place as well.
            if read_once(place).is_null() && place.cmpxchg(null_mut(), entry.as_ptr(), Full).is_ok()
            {
                return;
            }
        }
    }
}

/// Room for one entry in a map.
///
/// # Invariants
///
/// A place of the table was claimed for this.
pub(crate) struct Room<'map>(&'map Table);

impl Room<'_> {
    /// Enters a page of `slab` at `number`. Any context.
    ///
    /// # Safety
    ///
    /// `slab` must be of the pool to which the map belongs.
    pub(crate) unsafe fn enter(self, number: u64, slab: Slab<'_>, page: u32) {
        self.0.enter(number, slab.as_raw_with(page));
        mem::forget(self);
    }
}

impl Drop for Room<'_> {
    /// What was to be entered has failed: the place is somebody else's.
    fn drop(&mut self) {
        // Relaxed: as in `claim_place`.
        self.0.entries.fetch_sub(1, Relaxed);
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let mut table = NonNull::new(read_once(&self.newest));

        while let Some(this) = table {
            // SAFETY: By the type invariants it comes from `Table::new`, and nobody uses it.
            unsafe {
                table = NonNull::new(this.as_ref().older);
                Table::free(this);
            }
        }
    }
}
