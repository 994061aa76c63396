// SPDX-License-Identifier: GPL-2.0

//! For each CPU, the page from which it allocates, the one into which it frees, and the one that it
//! has added last.
//!
//! These are hints that keep CPUs out of each other's cache lines, not rights: any thread may
//! allocate from any page. So it does not matter if a task migrates right after it has looked up
//! its CPU, or if an interrupt handler does the same thing in between.

use crate::{
    allocated::Allocated,
    bitmap::read_once,
    page::{
        Page,
        Record, //
    },
    page_spec::{
        PageSpec,
        Place, //
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
        Relaxed,
        Release, //
    },
};

/// The pages of one CPU.
///
/// That there are two of them is built into `publish.rs`, which keeps the replaced one from being
/// lost, and into the order in which `find.rs` looks at them.
///
/// # Invariants
///
/// - The pages are all [`Page::nothing`] or of the pool that this belongs to.
/// - `marks` are those of the pool's blocks, and say that the other twin is to be given back only
///   if blocks have twins.
#[repr(align(64))]
pub(crate) struct CpuPages {
    alloc_from: Atomic<*mut Record>,
    freed_into: Atomic<*mut Record>,
    added: Atomic<*mut Record>,
    own: Atomic<*mut Record>,
    marks: Atomic<u64>,
    /// How often this CPU has found next to nothing since it last found more.
    poor_finds: Atomic<u32>,
    /// Pages that this CPU has got though the pool could not have more.
    spare_pages: Atomic<u32>,
    /// How often a page of these was not among the pool's recent ones.
    misses: Atomic<u32>,
}

/// How often a CPU looks for a page and finds next to nothing before it gets one more: a page that
/// is nearly full, or a block of a page from which another CPU allocates.
///
/// What it finds costs it a search for each block or two, and other CPUs their cache lines. A pool
/// is larger by this, but not by much: a page more is a page less for it to find poor.
const MOST_POOR_FINDS: u32 = 4;

/// Pages that a CPU may get though the pool may not have more.
const SPARE_PAGES: u32 = 3;

/// Of how many misses one makes a page of this CPU's a recent one.
const MISSES: u32 = 64;

/// [`Page::nothing`] for each CPU. Process context; may sleep.
pub(crate) fn new_cpu_pages(spec: &PageSpec) -> Result<Pin<KVBox<[CpuPages]>>> {
    let marks = spec.marks;

    // Where there may be a thousand CPUs, this is more than the slab allocator has at once.
    KVBox::pin_slice(
        |_| {
            // INVARIANT: No page of any pool yet, and no twins.
            Ok::<_, Error>(CpuPages {
                alloc_from: Atomic::new(Page::nothing().as_raw().as_ptr()),
                freed_into: Atomic::new(Page::nothing().as_raw().as_ptr()),
                added: Atomic::new(Page::nothing().as_raw().as_ptr()),
                own: Atomic::new(Page::nothing().as_raw().as_ptr()),
                marks: Atomic::new(marks),
                poor_finds: Atomic::new(0),
                spare_pages: Atomic::new(0),
                misses: Atomic::new(0),
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
        // SAFETY: This is one of the four.
        unsafe { self.load(&self.alloc_from) }
    }

    /// The page to allocate from, as one from which a search goes on to nodes.
    pub(crate) fn search_from(&self) -> Page<'_> {
        // SAFETY: This is one of the four.
        unsafe { self.acquire(&self.alloc_from) }
    }

    /// The page that had no free block until this CPU freed one, most recently.
    ///
    /// It is kept out of sight of others until this CPU has gone on to another page, because until
    /// then it probably frees more into it.
    pub(crate) fn freed_into(&self) -> Page<'_> {
        // SAFETY: This is one of the four.
        unsafe { self.load(&self.freed_into) }
    }

    /// The page that this CPU has added to the pool last. Those that it adds stand side by side in
    /// the page tree.
    pub(crate) fn added(&self) -> Page<'_> {
        // SAFETY: This is one of the four.
        unsafe { self.acquire(&self.added) }
    }

    /// Of the pages that stand where this CPU adds pages, the one from which it allocated last.
    pub(crate) fn own(&self) -> Page<'_> {
        // SAFETY: This is one of the four.
        unsafe { self.acquire(&self.own) }
    }

    /// Whether this CPU allocates from `page` or has freed into it.
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

    /// As [`CpuPages::load`], for a search that goes on to nodes.
    ///
    /// Acquire: pairs with [`CpuPages::exchange`] and [`CpuPages::note_own`]. A search comes to the
    /// nodes by way of the record, which it reads plainly, and for the kernel's memory model a
    /// dependency does not reach through a plain read.
    ///
    /// # Safety
    ///
    /// `which` must be a field of `self`.
    unsafe fn acquire(&self, which: &Atomic<*mut Record>) -> Page<'_> {
        // SAFETY: By the type invariants this is a static, or a page of the pool, which outlives
        // `self`.
        unsafe { Page::from_raw(NonNull::new_unchecked(which.load(Acquire))) }
    }

    /// Takes a block of the page to allocate from, if that is possible at once. `place_of` says
    /// where a block lies, by its bit and [`CpuPages::marks`]. Calls `met` if another thread has
    /// changed the word meanwhile from which this one takes the bit.
    #[inline(always)]
    pub(crate) fn try_alloc(
        &self,
        place_of: impl FnOnce(u32, u64) -> Place,
        met: impl FnOnce(),
    ) -> Option<Allocated<'_>> {
        let page = self.alloc_from();
        let place = page.try_take_noting(|bit| place_of(bit, self.marks()), met)?;

        // INVARIANT: `try_take_noting` takes the bit of a block that nobody else has.
        Some(Allocated { page, place })
    }

    /// The same in a pool whose blocks have single bits. `place_of` says where a block lies, by its
    /// index.
    #[inline(always)]
    pub(crate) fn try_alloc_single(
        &self,
        place_of: impl FnOnce(u32) -> Place,
    ) -> Option<Allocated<'_>> {
        let page = self.alloc_from();
        let place = place_of(page.try_take()?);

        // INVARIANT: As above.
        Some(Allocated { page, place })
    }

    /// What to mark the places of blocks with that this CPU allocates.
    #[inline(always)]
    pub(crate) fn marks(&self) -> u64 {
        // Relaxed: it does not matter by which of two twins a block is given back.
        read_once(&self.marks)
    }

    /// Has the blocks that this CPU allocates be given back by the other one of their twins, until
    /// it goes to another page. `spec` is that of the pool.
    pub(crate) fn use_twins(&self, spec: &PageSpec) {
        // INVARIANT: Those are the pool's.
        // Relaxed: as in `marks`.
        self.marks.store(spec.marks_for_twins(), Relaxed);
    }

    /// Makes `page` the one to allocate from, and returns the one that was.
    ///
    /// # Safety
    ///
    /// `page` must be of the pool that this belongs to.
    pub(crate) unsafe fn set_alloc_from(&self, page: Page<'_>, spec: &PageSpec) -> Page<'_> {
        if self.marks() != spec.marks {
            // Relaxed: as in `marks`.
            self.marks.store(spec.marks, Relaxed);
        }
        // SAFETY: This is one of the four, and the caller vouches for `page`.
        unsafe { self.exchange(&self.alloc_from, page) }
    }

    /// Makes `page` the one that was freed into, and returns the one that was.
    ///
    /// # Safety
    ///
    /// `page` must be of the pool that this belongs to.
    pub(crate) unsafe fn set_freed_into(&self, page: Page<'_>) -> Page<'_> {
        // SAFETY: This is one of the four, and the caller vouches for `page`.
        unsafe { self.exchange(&self.freed_into, page) }
    }

    /// Notes that this CPU allocates from `page`, which stands where it adds pages.
    ///
    /// # Safety
    ///
    /// `page` must be of the pool that this belongs to.
    pub(crate) unsafe fn note_own(&self, page: Page<'_>) {
        // INVARIANT: The caller vouches for `page`.
        // Release: the record is seen through this as this thread has seen it.
        self.own.store(page.as_raw().as_ptr(), Release);
    }

    /// Notes that this CPU has added `page` to the pool, and allocates from it.
    ///
    /// # Safety
    ///
    /// `page` must be of the pool that this belongs to.
    pub(crate) unsafe fn note_added(&self, page: Page<'_>) {
        // INVARIANT: The caller vouches for `page`.
        // Release: as in `note_own`.
        self.added.store(page.as_raw().as_ptr(), Release);
        // SAFETY: The caller vouches for `page`.
        unsafe { self.note_own(page) };
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

    /// Notes that this CPU has looked for a page, and how often it would have had to find next to
    /// nothing to be as badly off.
    pub(crate) fn note_find(&self, poor: u32) {
        // Relaxed, and not one operation: it does not matter if the count is a bit off.
        let finds = if poor != 0 {
            read_once(&self.poor_finds).wrapping_add(poor)
        } else {
            0
        };

        self.poor_finds.store(finds, Relaxed);
    }

    /// Notes that a page of this CPU's was not among the recent ones, and returns whether it should
    /// become one.
    pub(crate) fn note_miss(&self) -> bool {
        // Relaxed, and not one operation: as in `note_find`.
        let misses = read_once(&self.misses);

        self.misses.store(misses.wrapping_add(1), Relaxed);
        misses % MISSES == 0
    }

    /// Whether this CPU should get one more page now. If so, it is not asked for again soon,
    /// even if it gets none.
    pub(crate) fn is_poor(&self) -> bool {
        let poor = read_once(&self.poor_finds) >= MOST_POOR_FINDS;

        if poor {
            self.note_find(0);
        }
        poor
    }

    /// Whether this CPU may have a page though the pool may not have more. It may have a few.
    pub(crate) fn claim_spare_page(&self) -> bool {
        // Relaxed, and not one operation: an interrupt handler may claim the same page.
        let pages = read_once(&self.spare_pages);

        if pages < SPARE_PAGES {
            self.spare_pages.store(pages.wrapping_add(1), Relaxed);
        }
        pages < SPARE_PAGES
    }
}
