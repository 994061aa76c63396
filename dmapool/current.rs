// SPDX-License-Identifier: GPL-2.0

//! Current pages: for each CPU, the page from which it allocates.
//!
//! A hint that keeps CPUs out of each other's cache lines, not a right: any thread may allocate
//! from any page. So it does not matter if a task migrates right after it has looked up its CPU,
//! or an interrupt handler does the same thing in between.
//!
//! What does matter is that no free block gets out of sight: its page is announced in the page
//! table, or is some CPU's current page, or a thread is on its way to make it one of the two.

use crate::{
    bitmap::read_once,
    page::{
        Page,
        Record, //
    },
    table::{
        Kind,
        Table, //
    },
};
use core::ptr::{
    null_mut,
    NonNull, //
};
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

/// The current page of one CPU.
///
/// # Invariants
///
/// Null, or a page of the pool that this belongs to.
#[repr(align(64))]
pub(crate) struct Current {
    page: Atomic<*mut Record>,
    /// Blocks taken from other CPUs' pages since this CPU last got one of its own.
    stolen: Atomic<u32>,
}

/// Blocks that a CPU takes from other CPUs' pages before it gets a page of its own. A CPU that
/// allocates now and then takes no page for itself, and one that allocates much is soon on its own.
const MOST_STOLEN: u32 = 64;

/// None for each CPU.
pub(crate) fn new_current_pages() -> Result<Pin<KBox<[Current]>>> {
    KBox::pin_slice(
        // INVARIANT: No page.
        |_| {
            Ok::<_, Error>(Current {
                page: Atomic::new(null_mut()),
                stolen: Atomic::new(0),
            })
        },
        // CAST: The number of CPUs fits a `usize`.
        nr_cpu_ids() as usize,
        GFP_KERNEL,
    )
}

/// That of the CPU that this is running on.
#[inline]
pub(crate) fn here(current: &[Current]) -> Option<&Current> {
    let cpu = if cfg!(CONFIG_SMP) {
        // CAST: The number of a CPU fits a `usize`.
        CpuId::current().as_u32() as usize
    } else {
        0
    };

    current.get(cpu)
}

impl Current {
    /// The page, if there is one.
    ///
    /// The loads of the record depend on the address that is loaded here, and so come after it, as
    /// with C's `rcu_dereference()`: they see the record that [`Current::set`] releases.
    #[inline]
    pub(crate) fn page(&self) -> Option<Page<'_>> {
        // SAFETY: By the type invariants this is a page of the pool, which outlives `self`.
        NonNull::new(read_once(&self.page)).map(|record| unsafe { Page::from_raw(record) })
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

    /// Makes `page` the current one, and announces its predecessor if that still has something.
    ///
    /// # Safety
    ///
    /// `page` must be of the same pool.
    pub(crate) unsafe fn set(&self, page: Page<'_>) {
        // INVARIANT: By the requirements of this function.
        //
        // Full: releases the new page to other CPUs, and orders the exchange before the look at the
        // old page. Pairs with the barrier in `first_freed`.
        let old = self.page.xchg(page.as_raw().as_ptr(), Full);

        self.stolen.store(0, Relaxed);
        if old == page.as_raw().as_ptr() {
            return;
        }
        if let Some(old) = NonNull::new(old) {
            // SAFETY: By the type invariants this is a page of the pool, which outlives `self`.
            announce_free(unsafe { Page::from_raw(old) });
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
///
/// If this CPU's current page is used up, `page` takes its place: what was freed last is the best
/// to allocate next. Otherwise it is announced.
#[cold]
#[inline(never)]
pub(crate) fn first_freed(page: Page<'_>) {
    // Pairs with the exchange in `Current::set`. Either `page` is seen here to be current no more,
    // or who replaced it sees the free block.
    smp_mb(Full);

    let Some(current) = page.leaf().and_then(|leaf| here(leaf.current())) else {
        return announce_free(page);
    };
    match current.page() {
        Some(now) if now.as_raw() == page.as_raw() => {}
        Some(now) if now.has_free() => Table::announce(page, Kind::Free),
        // SAFETY: These are the current pages of the pool to which the leaf belongs.
        _ => unsafe { current.set(page) },
    }
}
