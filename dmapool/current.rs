// SPDX-License-Identifier: GPL-2.0

//! Current pages: for each CPU, the page from which it allocates, and the one it frees into.
//!
//! Hints that keep CPUs out of each other's cache lines, not rights: any thread may allocate from
//! any page. So it does not matter if a task migrates right after it has looked up its CPU, or an
//! interrupt handler does the same thing in between.
//!
//! What does matter is that no free block gets out of sight: its page is announced in the page
//! table, or is some CPU's current page, or a thread is on its way to make it one of the two.

use crate::{
    bitmap::read_once,
    block::Taken,
    geometry::Geometry,
    page::{
        Page,
        Record, //
    },
    table::{
        Kind,
        Table, //
    },
};
use core::ptr::NonNull;
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        barrier::smp_mb, //
    },
};

/// The current pages of one CPU.
///
/// # Invariants
///
/// Both are [`Page::nothing`] or a page of the pool that this belongs to.
#[repr(align(64))]
pub(crate) struct Current {
    /// Where to allocate.
    page: Atomic<*mut Record>,
    /// Had no free block until this CPU freed one. Kept out of sight of others until this CPU has
    /// gone on to another page, because until then it probably frees more into it.
    freed: Atomic<*mut Record>,
    /// Blocks taken from other CPUs' pages since this CPU last got one of its own.
    stolen: Atomic<u32>,
}

/// Blocks that a CPU takes from other CPUs' pages before it gets a page of its own. A CPU that
/// allocates now and then takes no page for itself, and one that allocates much is soon on its own.
const MOST_STOLEN: u32 = 64;

/// [`Page::nothing`] for each CPU.
pub(crate) fn new_current_pages() -> Result<Pin<KBox<[Current]>>> {
    KBox::pin_slice(
        |_| {
            // INVARIANT: No page of any pool yet.
            Ok::<_, Error>(Current {
                page: Atomic::new(Page::nothing().as_raw().as_ptr()),
                freed: Atomic::new(Page::nothing().as_raw().as_ptr()),
                stolen: Atomic::new(0),
            })
        },
        // CAST: The number of CPUs fits a `usize`.
        nr_cpu_ids() as usize,
        GFP_KERNEL,
    )
}

/// That of the CPU that this is running on.
///
/// # Safety
///
/// `current` must come from [`new_current_pages`].
#[inline]
pub(crate) unsafe fn here(current: &[Current]) -> &Current {
    let cpu = if cfg!(CONFIG_SMP) {
        // CAST: The number of a CPU fits a `usize`.
        CpuId::current().as_u32() as usize
    } else {
        0
    };

    // SAFETY: There is one for each possible number of a CPU.
    unsafe { current.get_unchecked(cpu) }
}

impl Current {
    /// The page to allocate from.
    #[inline]
    pub(crate) fn page(&self) -> Page<'_> {
        // SAFETY: This is one of the two.
        unsafe { self.load(&self.page) }
    }

    /// The page that was freed into last.
    pub(crate) fn freed(&self) -> Page<'_> {
        // SAFETY: This is one of the two.
        unsafe { self.load(&self.freed) }
    }

    /// The loads of the record depend on the address that is loaded here, and so come after it, as
    /// with C's `rcu_dereference()`: they see the record that [`Current::replace`] releases.
    ///
    /// # Safety
    ///
    /// `which` must be a field of `self`.
    #[inline]
    unsafe fn load(&self, which: &Atomic<*mut Record>) -> Page<'_> {
        // SAFETY: By the type invariants this is a static, or a page of the pool, which outlives
        // `self`.
        unsafe { Page::from_raw(NonNull::new_unchecked(read_once(which))) }
    }

    /// Takes a block of the page, if one is to be had at once.
    #[inline(always)]
    pub(crate) fn try_take(&self, geometry: &Geometry) -> Option<Taken<'_>> {
        let page = self.page();
        let place = page.try_take(geometry)?;

        // INVARIANT: `try_take` returns a block that nobody else has.
        Some(Taken { page, place })
    }

    /// Notes that this CPU has taken a block from another CPU's page.
    pub(crate) fn note_stolen(&self) {
        // Relaxed, and not one operation: it does not matter if the count is a bit off.
        self.stolen
            .store(read_once(&self.stolen).wrapping_add(1), Relaxed);
    }

    /// Whether this CPU should have a page of its own. Not again soon, if it was not to be had.
    pub(crate) fn needs_page(&self) -> bool {
        let needs = read_once(&self.stolen) >= MOST_STOLEN;

        if needs {
            self.stolen.store(0, Relaxed);
        }
        needs
    }

    /// Makes `page` the one to allocate from.
    ///
    /// # Safety
    ///
    /// `page` must be of the same pool.
    pub(crate) unsafe fn set(&self, page: Page<'_>) {
        self.stolen.store(0, Relaxed);
        // SAFETY: This is one of the two, and by the requirements of this function.
        unsafe { self.replace(&self.page, page) };
    }

    /// Replaces one of the two pages, and announces the old one if that still has something.
    ///
    /// # Safety
    ///
    /// `which` must be a field of `self`, and `page` of the same pool.
    unsafe fn replace(&self, which: &Atomic<*mut Record>, page: Page<'_>) {
        // INVARIANT: By the requirements of this function.
        //
        // Full: releases the new page to other CPUs, and orders the exchange before the look at the
        // old page. Pairs with the barrier in `first_freed`.
        let old = which.xchg(page.as_raw().as_ptr(), Full);

        // SAFETY: By the type invariants this is a static, or a page of the pool, which outlives
        // `self`.
        let old = unsafe { Page::from_raw(NonNull::new_unchecked(old)) };
        if old != page && old != self.page() {
            announce_free(old);
        }
    }
}

/// Makes sure that the free blocks of a page can be found, if it has any.
pub(crate) fn announce_free(page: Page<'_>) {
    if page.has_free() {
        Table::announce(page, Kind::Free);
    }
}

/// Makes sure that a block can be found that was just freed into an empty word of `page`.
#[cold]
#[inline(never)]
pub(crate) fn first_freed(page: Page<'_>) {
    // Pairs with the exchange in `Current::replace`. Either `page` is seen here to be current no
    // more, or who replaced it sees the free block.
    smp_mb(Full);

    let Some(leaf) = page.leaf() else {
        return;
    };
    let current = leaf.current();

    if page != current.page() && page != current.freed() {
        // SAFETY: This is one of the two, of the pool to which the leaf belongs.
        unsafe { current.replace(&current.freed, page) };
    }
}
