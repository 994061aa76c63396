// SPDX-License-Identifier: GPL-2.0

//! For each CPU, the page from which it allocates, and the one into which it frees.
//!
//! These are hints that keep CPUs out of each other's cache lines, not rights: any thread may
//! allocate from any page. So it does not matter if a task migrates right after it has looked up
//! its CPU, or if an interrupt handler does the same thing in between.

use crate::{
    allocated::Allocated,
    bitmap::read_once,
    geometry::Place,
    page::{
        Page,
        Record, //
    },
};
use core::ptr::NonNull;
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
};

/// The pages of one CPU.
///
/// That there are two of them is built into `publish.rs`, which keeps the replaced one from being
/// lost, and into the order in which `find.rs` looks at them.
///
/// # Invariants
///
/// Both are [`Page::nothing`] or a page of the pool that this belongs to.
#[repr(align(64))]
pub(crate) struct CpuPages {
    alloc_from: Atomic<*mut Record>,
    freed_into: Atomic<*mut Record>,
    /// Blocks taken from other CPUs' pages since this CPU last got one of its own.
    stolen: Atomic<u32>,
}

/// Blocks that a CPU takes from other CPUs' pages before it gets a page of its own.
///
/// A CPU that allocates now and then takes no page for itself, and one that allocates much is soon
/// on its own: 64 is what it would find in a page of 64-byte blocks.
const MAX_STOLEN: u32 = 64;

/// [`Page::nothing`] for each CPU. Process context; may sleep.
pub(crate) fn new_cpu_pages() -> Result<Pin<KVBox<[CpuPages]>>> {
    // Where there may be a thousand CPUs, this is more than the slab allocator has at once.
    KVBox::pin_slice(
        |_| {
            // INVARIANT: No page of any pool yet.
            Ok::<_, Error>(CpuPages {
                alloc_from: Atomic::new(Page::nothing().as_raw().as_ptr()),
                freed_into: Atomic::new(Page::nothing().as_raw().as_ptr()),
                stolen: Atomic::new(0),
            })
        },
        // CAST: The number of CPUs fits a `usize`.
        nr_cpu_ids() as usize,
        GFP_KERNEL,
    )
}

/// Those of the CPU on which this runs.
///
/// # Safety
///
/// `cpus` must come from [`new_cpu_pages`].
#[inline]
pub(crate) unsafe fn this_cpu(cpus: &[CpuPages]) -> &CpuPages {
    let cpu = if cfg!(CONFIG_SMP) {
        // CAST: The number of a CPU fits a `usize`.
        CpuId::current().as_u32() as usize
    } else {
        0
    };

    // SAFETY: There is one for each possible number of a CPU.
    unsafe { cpus.get_unchecked(cpu) }
}

impl CpuPages {
    /// The page to allocate from.
    #[inline]
    pub(crate) fn alloc_from(&self) -> Page<'_> {
        // SAFETY: This is one of the two.
        unsafe { self.load(&self.alloc_from) }
    }

    /// The page to allocate from, as one from which a search goes on to nodes.
    ///
    /// Acquire: pairs with [`CpuPages::exchange`]. A search comes to the nodes by way of the
    /// record, which it reads plainly, and for the kernel's memory model a dependency does not
    /// reach through a plain read.
    pub(crate) fn search_from(&self) -> Page<'_> {
        // SAFETY: By the type invariants this is a static, or a page of the pool, which outlives
        // `self`.
        unsafe { Page::from_raw(NonNull::new_unchecked(self.alloc_from.load(Acquire))) }
    }

    /// The page that had no free block until this CPU freed one, most recently.
    ///
    /// It is kept out of sight of others until this CPU has gone on to another page, because until
    /// then it probably frees more into it.
    pub(crate) fn freed_into(&self) -> Page<'_> {
        // SAFETY: This is one of the two.
        unsafe { self.load(&self.freed_into) }
    }

    /// Whether `page` is one of the two.
    pub(crate) fn has(&self, page: Page<'_>) -> bool {
        page == self.alloc_from() || page == self.freed_into()
    }

    /// The loads of the record depend on the address that is loaded here, and so come after it, as
    /// with C's `rcu_dereference()`: they see the record that [`CpuPages::exchange`] released.
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

    /// Takes a block of the page to allocate from, if that is possible at once. `place_of` says
    /// where the block with an index lies.
    #[inline(always)]
    pub(crate) fn try_alloc(&self, place_of: impl FnOnce(u32) -> Place) -> Option<Allocated<'_>> {
        let page = self.alloc_from();
        let place = place_of(page.try_take()?);

        // INVARIANT: `try_take` returns a block that nobody else has.
        Some(Allocated { page, place })
    }

    /// Makes `page` the one to allocate from, and returns the one that was.
    ///
    /// # Safety
    ///
    /// `page` must be of the pool that this belongs to.
    pub(crate) unsafe fn set_alloc_from(&self, page: Page<'_>) -> Page<'_> {
        // Relaxed: as in `note_stolen`.
        self.stolen.store(0, Relaxed);
        // SAFETY: This is one of the two, and the caller vouches for `page`.
        unsafe { self.exchange(&self.alloc_from, page) }
    }

    /// Makes `page` the one that was freed into, and returns the one that was.
    ///
    /// # Safety
    ///
    /// `page` must be of the pool that this belongs to.
    pub(crate) unsafe fn set_freed_into(&self, page: Page<'_>) -> Page<'_> {
        // SAFETY: This is one of the two, and the caller vouches for `page`.
        unsafe { self.exchange(&self.freed_into, page) }
    }

    /// Full: releases the new page to other CPUs, and orders the exchange before the look at the
    /// old page's blocks in `publish_replaced`.
    ///
    /// # Safety
    ///
    /// `which` must be a field of `self`, and `page` of the same pool.
    unsafe fn exchange(&self, which: &Atomic<*mut Record>, page: Page<'_>) -> Page<'_> {
        // INVARIANT: The caller vouches for `page`.
        let old = which.xchg(page.as_raw().as_ptr(), Full);

        // SAFETY: By the type invariants this is a static, or a page of the pool, which outlives
        // `self`.
        unsafe { Page::from_raw(NonNull::new_unchecked(old)) }
    }

    /// Notes that this CPU has taken a block from another CPU's page.
    pub(crate) fn note_stolen(&self) {
        // Relaxed, and not one operation: it does not matter if the count is a bit off.
        self.stolen
            .store(read_once(&self.stolen).wrapping_add(1), Relaxed);
    }

    /// Whether this CPU should get a page of its own now. If so, it is not asked for again soon,
    /// even if it gets none.
    pub(crate) fn claim_own_page(&self) -> bool {
        let claims = read_once(&self.stolen) >= MAX_STOLEN;

        if claims {
            // Relaxed: as in `note_stolen`.
            self.stolen.store(0, Relaxed);
        }
        claims
    }
}
