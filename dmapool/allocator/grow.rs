// SPDX-License-Identifier: GPL-2.0

//! Growing: a page more, and when the pool gets one.
//!
//! A pool needs another page when a search has found no free block: the pages that were there when
//! it began are all in use. It may have half as many again as it was seen to need, and a few more
//! for each CPU. Within that it grows though there are free blocks, for CPUs that find next to
//! nothing.

use super::super::sys::prelude::*;
use super::{
    super::sys::{
        context,
        gfp, //
    },
    chunk::{
        Chunk,
        ChunkList,
        OF_RESERVE, //
    },
    cpu::Cpu,
    free::Allocated,
    pool::RawPool,
    publish::publish_first_free,
    slab::Slab,
    trace,
    word::read_once, //
};

/// A pool grows by one page more for each so many that it has, as far as its slab has room.
const AHEAD: u32 = 16;

/// Why a pool gets a page. Whoever has it grow for one of the first two gets its first block.
#[derive(Clone, Copy)]
enum Why {
    /// A search has found no free block.
    Need,
    /// A CPU has found next to nothing for a while.
    Cpu,
    /// The pool grew anyway.
    Ahead,
    /// The driver said so.
    Prefill,
    /// It is to have a reserve.
    Reserve,
}

impl RawPool<'_> {
    /// Grows because a search has found no free block, which began when there were `pages`, and
    /// allocates one. Any context that `flags` allow.
    pub(crate) fn grow_for_need(&self, pages: u32, flags: Flags) -> Result<Allocated<'_>> {
        self.pages.need_more_than(pages);
        self.grow(Why::Need, flags)
    }

    /// Grows though there are free blocks, for a CPU that has found next to nothing for a while,
    /// and allocates one. `None` if that is not easy, or the pool may not have more pages.
    pub(crate) fn grow_for_cpu(&self, cpu: &Cpu, flags: Flags) -> Option<Allocated<'_>> {
        if !cpu.is_poor() || !(self.pages.may_grow() || cpu.claim_spare_page()) {
            return None;
        }
        // Not from what `GFP_ATOMIC` may use: there are free blocks elsewhere.
        let flags = if gfp::may_block(flags) {
            gfp::without_effort(flags)
        } else {
            GFP_NOWAIT | __GFP_NOWARN
        };

        self.grow(Why::Cpu, flags).ok()
    }

    /// Adds a page, from which this CPU allocates from now on, and allocates its first block.
    fn grow(&self, why: Why, flags: Flags) -> Result<Allocated<'_>> {
        let before = self.capacity();
        let (slab, page) = self.vacant_page(flags)?;
        let first = self.layout.first_bit(page);

        // SAFETY: The page was claimed for this.
        unsafe { self.add_page(slab, page, why, flags)? };
        // Most often a pool grows when all blocks are allocated: then the level is known for free.
        self.note_level(before.saturating_sub(self.reserved()).wrapping_add(1));
        self.switch_to(self.cpus.this(), slab, first);
        self.grow_ahead(slab, flags);
        // INVARIANT: `add_page` leaves the first block to its caller.
        Ok(Allocated {
            slab,
            place: self.layout.place_of(first, 0),
        })
    }

    /// Adds some more pages to `slab`, if that is easy: each growth comes after a look at all CPUs'
    /// slabs, and a pool that has many pages grows by a part of them.
    ///
    /// But none that are larger than the system's, which may come from CMA: of these a pool has
    /// what it needs, as C's pools do.
    fn grow_ahead(&self, slab: Slab<'_>, flags: Flags) {
        if !gfp::may_block(flags) || self.geometry().page_size() > PAGE_SIZE {
            return;
        }
        let flags = gfp::without_effort(flags);

        for _ in 0..self.pages.get() / AHEAD {
            let Some(page) = self.pages.may_grow().then(|| slab.claim_page()).flatten() else {
                return;
            };
            // SAFETY: The page was claimed for this.
            if unsafe { self.add_page(slab, page, Why::Ahead, flags) }.is_err() {
                return;
            }
        }
    }

    /// See [`Pool::prefill`].
    pub(crate) fn prefill(&self, count: usize, flags: Flags) -> Result {
        // What the system cannot have is not tried: nobody is to be killed for it.
        if count.saturating_mul(self.geometry().stride()) > context::total_memory() {
            return Err(ENOMEM);
        }
        let flags = gfp::without_oom(flags);
        let mut free = self.count_free();

        while free < count as u64 {
            let (slab, page) = self.vacant_page(flags)?;

            // SAFETY: The page was claimed for this.
            unsafe { self.add_page(slab, page, Why::Prefill, flags)? };
            free = free.wrapping_add(self.geometry().blocks_per_page().into());
        }
        Ok(())
    }

    /// Has the pool begin, and fills its reserve. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`].
    ///
    /// # Safety
    ///
    /// Nobody may use the pool before this, and it must not move after it.
    pub(crate) unsafe fn start(&self) -> Result {
        trace::create::call(self, self.geometry().page_size(), 0);
        let flags = gfp::without_oom(GFP_KERNEL);
        let owner = self.cpus.this().number();
        let first = self.new_slab(&self.chunks, None, owner, flags)?;

        // It is not opened, and so has no blocks: each CPU soon has a slab of its own.
        // SAFETY: It is of this pool, which nobody uses.
        unsafe { self.cpus.begin_with(first) };
        while self.reserved() < self.min_nr as u64 {
            let beside = self.reserve.iter().next();
            let slab = self.new_slab(&self.reserve, beside, OF_RESERVE, flags)?;

            // SAFETY: It is new.
            let mut page = Some(unsafe { slab.open(&self.layout) });
            while let Some(claimed) = page {
                // SAFETY: The page was claimed for this.
                unsafe { self.add_page(slab, claimed, Why::Reserve, flags)? };
                if self.reserved() >= self.min_nr as u64 {
                    break;
                }
                page = slab.claim_page();
            }
        }
        Ok(())
    }

    /// Gives `page` memory and blocks, and publishes them. If the first one is the caller's, as
    /// [`Why`] says, the caller is to publish the others.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]; the page is vacant again.
    ///
    /// # Safety
    ///
    /// The caller must have claimed the page of `slab`, which is of this pool.
    unsafe fn add_page(&self, slab: Slab<'_>, page: u32, why: Why, flags: Flags) -> Result {
        // SAFETY: The caller has claimed the page.
        unsafe { self.add_claimed(slab, page, why, flags) }.inspect_err(|_| self.vacate(slab, page))
    }

    /// The same, but if this fails the page is still the caller's.
    ///
    /// # Safety
    ///
    /// As [`RawPool::add_page`].
    unsafe fn add_claimed(&self, slab: Slab<'_>, page: u32, why: Why, flags: Flags) -> Result {
        let first_is_taken = matches!(why, Why::Need | Why::Cpu);
        // SAFETY: The caller has claimed the page.
        let memory = unsafe { self.populate(slab, page, flags)? };
        let numbers = self.numbers_of(memory);
        let mut rooms = [const { None }; 3];
        if let Some(map) = &self.by_address {
            for (room, _) in rooms.iter_mut().zip(numbers.clone()) {
                *room = Some(map.claim(gfp::for_records(flags))?);
            }
        }

        let (cpu, dma) = (memory.as_mut_ptr().cast(), memory.dma_address());
        trace::grow::call(self, cpu, dma, gfp::to_raw(flags), why as u32);
        // The release in `Word::give` orders this before the blocks are all taken by `shrink`,
        // which subtracts the page again.
        self.pages.pages.add(1, Relaxed);
        let enter = || {
            for (room, number) in rooms.into_iter().flatten().zip(numbers) {
                // SAFETY: The slab is of this pool.
                unsafe { room.enter(number, slab, page) };
            }
        };
        // SAFETY: The page is the caller's, and has memory now.
        let fill = || unsafe { slab.fill_words(page, first_is_taken, &self.layout) };
        // Where frees are checked, a wrong one of a block that is not free yet would do harm: the
        // map comes last. Elsewhere a CPU may take a block at once, and another one look for it by
        // its address: the map comes first.
        if self.layout.checked {
            fill();
            enter();
        } else {
            enter();
            fill();
        }
        // SAFETY: The words are filled, and the map leads to the page.
        unsafe { slab.add_existence(page, &self.layout) };
        if !first_is_taken {
            // If this CPU allocated from the slab, an interrupt handler may have gone on to
            // another.
            publish_first_free(slab);
        }
        Ok(())
    }

    /// Gives back a page that this thread has for itself, for whoever grows next.
    pub(super) fn vacate(&self, slab: Slab<'_>, page: u32) {
        slab.vacate(page);
        self.pages.vacant.add(1, Relaxed);
    }

    /// A page without blocks, that is the caller's: of the slab that this CPU has added last, of
    /// any one that was left behind, or of a new one.
    fn vacant_page<'a>(&'a self, flags: Flags) -> Result<(Slab<'a>, u32)> {
        if !context::may_grow() {
            return Err(ENOMEM);
        }
        let claim = |slab: Slab<'a>| Some((slab, slab.claim_page()?));
        let cpu = self.cpus.this();

        if let Some(found) = cpu.added().and_then(claim) {
            return Ok(found);
        }
        let vacant = read_once(&self.pages.vacant);
        if vacant != 0 {
            let found = self.chunks_from(cpu).flat_map(Chunk::slabs).find_map(claim);

            // Whoever finds none has seen that there are none, unless one more became vacant.
            let left = found.map_or(0, |_| vacant.wrapping_sub(1));
            let _ = self.pages.vacant.cmpxchg(vacant, left, Relaxed);
            if let Some(found) = found {
                return Ok(found);
            }
        }
        let beside = cpu.added().map(Slab::chunk);
        let flags = gfp::for_records(flags);
        let slab = self.new_slab(&self.chunks, beside, cpu.number(), flags)?;

        // SAFETY: The slab is new, and of this pool.
        unsafe {
            cpu.note_added(slab);
            Ok((slab, slab.open(&self.layout)))
        }
    }

    /// A new slab in `list`, one of this pool: in chunk `beside`, or, if that has no room, in a new
    /// one of `owner`'s. It is not open yet. If there are tokens, the map leads to it.
    fn new_slab<'a>(
        &'a self,
        list: &'a ChunkList,
        beside: Option<&'a Chunk>,
        owner: u32,
        flags: Flags,
    ) -> Result<Slab<'a>> {
        let room = match &self.by_number {
            Some(map) => Some(map.claim(flags)?),
            None => None,
        };
        let slab = Slab::new(&self.layout, flags, self.node)?;
        let mut chunk = beside;

        // SAFETY: The slab is new, and stays if it is adopted.
        while !chunk.is_some_and(|chunk| unsafe { chunk.adopt(slab) }) {
            let pool = NonNull::from(self).cast();
            // SAFETY: It goes into a list of this pool, and `beside` is in that.
            let new = unsafe { Chunk::new(pool, &self.chunk_count, owner, beside, flags) };
            let new = new.inspect_err(|_| {
                // SAFETY: No chunk has the slab, so nobody else does. It has no memory.
                unsafe { slab.free(&self.layout, |_, _| {}) };
            })?;

            chunk = Some(list.add(new));
        }
        if let Some(room) = room {
            // SAFETY: The slab is of this pool.
            unsafe { room.enter(slab.number().into(), slab, 0) };
        }
        Ok(slab)
    }
}
