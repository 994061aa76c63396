// SPDX-License-Identifier: GPL-2.0

//! What each CPU works on: the slab from which it allocates, and the one that it has added last.
//!
//! These are hints that keep CPUs out of each other's cache lines, not rights: any thread may
//! allocate from any slab. So it does not matter if a task migrates right after it has looked up
//! its CPU, or if an interrupt handler does the same thing in between; and CPUs that came online
//! after the pool was made share these with others.

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
use kernel::cpu::CpuId;

// `dmapool/sys/helpers.c`
extern "C" {
    fn rust_dmapool_cpus_online() -> u32;
}

/// How often a CPU looks for a slab and finds next to nothing before it gets one more page: a slab
/// that is nearly full, or a block of a slab from which another CPU allocates.
///
/// What it finds costs it a search for each block or two, and other CPUs their cache lines. A pool
/// is larger by this, but not by much: a page more is a page less for it to find poor.
const MOST_POOR_FINDS: u32 = 4;

/// Pages that a CPU may get though the pool may not have more.
const SPARE_PAGES: u32 = 3;

/// The hints of one CPU.
///
/// # Invariants
///
/// - `current` is a slab with the number of one of its words, as [`Slab::as_raw_with`] has it.
/// - That slab and `added` are of the pool that this belongs to, or null before it is used.
/// - `flip` is 0, or the `twin` of the pool's layout.
#[repr(align(64))]
pub(crate) struct Cpu {
    /// The slab from which it allocates, and the word there.
    current: Atomic<*mut Word>,
    /// The slab that it has added to the pool last.
    added: Atomic<*mut Word>,
    /// What makes of a bit that it takes the one by which to give it back.
    flip: Atomic<u32>,
    /// Which of [`Cpus`] this is.
    number: u32,
    /// How often this CPU has found next to nothing since it last found more.
    poor_finds: Atomic<u32>,
    /// Pages that this CPU has got though the pool could not have more.
    spare_pages: Atomic<u32>,
}

/// For each CPU, what it works on.
///
/// # Invariants
///
/// `mask` and one is a power of two, and there are so many at least.
pub(crate) struct Cpus {
    cpus: Pin<KVBox<[Cpu]>>,
    mask: u32,
}

impl Cpus {
    /// For all CPUs that are online. Process context; may sleep.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The function has no requirements.
        let mask = unsafe { rust_dmapool_cpus_online() }
            .checked_next_power_of_two()
            .unwrap_or(1)
            .wrapping_sub(1);
        // CAST: The number of CPUs fits a `u32`, and a `usize`.
        let cpus = KVBox::pin_slice(
            |number: usize| {
                // INVARIANT: The pool is not used before `begin_with`.
                Ok::<_, Error>(Cpu {
                    current: Atomic::new(null_mut()),
                    added: Atomic::new(null_mut()),
                    flip: Atomic::new(0),
                    number: number as u32,
                    poor_finds: Atomic::new(0),
                    spare_pages: Atomic::new(0),
                })
            },
            (mask as usize).wrapping_add(1),
            GFP_KERNEL,
        )?;

        // INVARIANT: So many were made.
        Ok(Self { cpus, mask })
    }

    /// Has all CPUs begin with `slab`.
    ///
    /// # Safety
    ///
    /// It must be of the pool that this belongs to, which nobody uses yet.
    pub(crate) unsafe fn begin_with(&self, slab: Slab<'_>) {
        for cpu in self.iter() {
            // INVARIANT: The caller vouches for it.
            // Relaxed: the pool is passed on to others as a whole.
            cpu.current.store(slab.as_raw().as_ptr(), Relaxed);
            cpu.added.store(slab.as_raw().as_ptr(), Relaxed);
        }
    }

    /// That of the CPU on which this runs.
    #[inline(always)]
    pub(crate) fn this(&self) -> &Cpu {
        let cpu = if cfg!(CONFIG_SMP) {
            CpuId::current().as_u32()
        } else {
            0
        };

        // SAFETY: By the type invariants there are so many.
        unsafe { self.cpus.get_unchecked((cpu & self.mask) as usize) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cpu> {
        self.cpus.iter()
    }

    /// Has all CPUs share the first one, as those do that come online late.
    #[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
    pub(crate) fn share_one(&mut self) {
        // INVARIANT: There is one.
        self.mask = 0;
    }
}

/// The slab and the number of the word in `current`.
///
/// # Safety
///
/// `current` must be of the field with this name, and `'a` end before the pool does.
#[inline(always)]
unsafe fn split<'a>(current: *mut Word) -> (Slab<'a>, usize) {
    // SAFETY: By the invariants of `Cpu` this is a slab, which is never null. The loads of the slab
    // depend on the address that was loaded, and so come after it, as with C's
    // `rcu_dereference()`: they see the slab that `Cpu::switch` released.
    unsafe { Slab::from_raw_with(NonNull::new_unchecked(current)) }
}

/// The reverse.
fn join(slab: Slab<'_>, bit: u32) -> *mut Word {
    slab.as_raw_with(bit / WORD_BITS).as_ptr()
}

impl Cpu {
    /// The slab from which this CPU allocates.
    #[inline]
    pub(crate) fn current(&self) -> Slab<'_> {
        self.current_word().0
    }

    /// The same, as one from which a search goes on to chunks.
    ///
    /// Acquire: pairs with [`Cpu::switch`]. A search comes to the chunk by way of the slab, which
    /// it reads plainly, and for the kernel's memory model a dependency does not reach through
    /// that.
    pub(crate) fn current_acquire(&self) -> Slab<'_> {
        // SAFETY: As above.
        unsafe { split(self.current.load(Acquire)) }.0
    }

    /// The slab that this CPU has added last, if it has added any.
    ///
    /// Acquire: as above; pairs with [`Cpu::note_added`].
    pub(crate) fn added(&self) -> Option<Slab<'_>> {
        // SAFETY: As above.
        let (slab, _) = unsafe { split(self.added.load(Acquire)) };

        self.owns(slab).then_some(slab)
    }

    /// Whether `slab` stands where this CPU adds slabs.
    pub(crate) fn owns(&self, slab: Slab<'_>) -> bool {
        slab.chunk().owner() == self.number
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The slab from which this CPU allocates, and the word from which it has taken a bit last.
    #[inline(always)]
    pub(crate) fn current_word(&self) -> (Slab<'_>, usize) {
        // SAFETY: It was just loaded from there, and this belongs to the pool.
        unsafe { split(read_once(&self.current)) }
    }

    /// What makes of a bit that this CPU takes the one by which to give it back.
    #[inline(always)]
    pub(crate) fn flip(&self) -> u32 {
        // Relaxed: it does not matter by which of two twins a block is given back.
        read_once(&self.flip)
    }

    /// Has the blocks that this CPU allocates be given back by the other one of their twins, if
    /// there are any, until it goes to another slab.
    pub(crate) fn use_twins(&self, layout: &SlabLayout) {
        // INVARIANT: That is the pool's.
        // Relaxed: as in `flip`.
        self.flip.store(layout.twin, Relaxed);
    }

    /// Has this CPU go on allocating from the word of `bit`, if it still allocates from `slab`.
    ///
    /// An exchange: an interrupt handler may have switched to another slab, and published this one.
    pub(crate) fn use_word(&self, slab: Slab<'_>, bit: u32) {
        let current = read_once(&self.current);

        // SAFETY: It was just loaded from there.
        if unsafe { split(current) }.0 == slab {
            // INVARIANT: It is the same slab, which has that word.
            // Relaxed: whoever loads this has the slab from `switch` or from the thread that made
            // it, as before; both are read-modify-write operations.
            let _ = self.current.cmpxchg(current, join(slab, bit), Relaxed);
        }
    }

    /// Makes `slab` the one from which this CPU allocates, beginning with the word of `bit`, and
    /// returns the one that was.
    ///
    /// Full: releases the new slab to other CPUs, and orders the exchange before the look at the
    /// old slab's blocks in `publish.rs`.
    ///
    /// # Safety
    ///
    /// `slab` must be of the pool that this belongs to, and have that bit.
    pub(crate) unsafe fn switch(&self, slab: Slab<'_>, bit: u32) -> Slab<'_> {
        if self.flip() != 0 {
            // Relaxed: as in `flip`.
            self.flip.store(0, Relaxed);
        }
        // INVARIANT: The caller vouches for it.
        let old = self.current.xchg(join(slab, bit), Full);

        // SAFETY: It was in that field.
        unsafe { split(old) }.0
    }

    /// Notes that this CPU has added `slab` to the pool.
    ///
    /// # Safety
    ///
    /// `slab` must be of the pool that this belongs to.
    pub(crate) unsafe fn note_added(&self, slab: Slab<'_>) {
        // INVARIANT: The caller vouches for it.
        // Release: the slab is seen through this as this thread has seen it.
        self.added.store(slab.as_raw().as_ptr(), Release);
    }

    /// Notes that this CPU has looked for a slab, and how often it would have had to find next to
    /// nothing to be as badly off.
    pub(crate) fn note_find(&self, poor: u32) {
        // Relaxed, and not one operation: it does not matter if the count is a bit off.
        let before = read_once(&self.poor_finds);
        let finds = if poor != 0 {
            before.wrapping_add(poor)
        } else {
            0
        };

        if finds != before {
            self.poor_finds.store(finds, Relaxed);
        }
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
