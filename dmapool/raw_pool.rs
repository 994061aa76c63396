// SPDX-License-Identifier: GPL-2.0

//! The allocator: which page a CPU works on, what happens when that page has nothing left, and
//! growing. It deals in bytes; what a block holds is not its business.
//!
//! Nothing here takes a lock or disables interrupts. Getting memory from the system, which may
//! sleep if the caller's flags say so, happens with nothing held.

use crate::{
    bitmap::read_once,
    block::Taken,
    common::Common,
    contents::{
        dump,
        first_other,
        Contents,
        FREED, //
    },
    context,
    current::{
        announce_free,
        first_freed,
        here,
        new_current_pages,
        Current, //
    },
    debugfs::Registration,
    geometry::Geometry,
    gfp,
    index::Index,
    module_parameters,
    module_ref::ModuleRef,
    options::Options,
    page::Page,
    refill::Refill,
    reserve::Reserve,
    table::{
        Kind,
        Table, //
    },
    tokens::RawBlock, //
};
use core::{
    iter,
    mem,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        Flags,
        NumaNode, //
    },
    device::{
        Bound,
        Device, //
    },
    dma::{
        Coherent,
        DmaAddress, //
    },
    fmt,
    prelude::*,
    str::CString,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A pool without the types of its public face, [`crate::Pool`].
///
/// # Invariants
///
/// `current` comes from [`new_current_pages`].
pub(crate) struct RawPool<'bound> {
    dev: &'bound Device<Bound>,
    name: CString,
    geometry: Geometry,
    node: NumaNode,
    table: Table,
    common: KBox<Common>,
    current: Pin<KBox<[Current]>>,
    /// Pages that have memory.
    pages: Atomic<u32>,
    /// The most blocks that were seen to be allocated at once.
    high_water: Atomic<u64>,
    /// Allocations that failed.
    failures: Atomic<u64>,
    contents: Contents,
    /// Only if frees are checked. Then no page loses its memory before the pool is dropped.
    index: Option<Index>,
    /// Only for managed pools with a reserve.
    refill: Option<Refill>,
    listing: Option<Registration>,
    /// Only if there may be no user of the module left when the pool is dropped. The last field,
    /// and so dropped last.
    module: Option<ModuleRef>,
}

/// Pages of DMA memory that all pools have from the system.
static PAGES_HELD: Atomic<usize> = Atomic::new(0);

/// How many pages of DMA memory all pools together have from the system, those included that were
/// kept when their pool was destroyed.
pub(crate) fn pages_held() -> usize {
    // Relaxed: a count for humans and tests.
    PAGES_HELD.load(Relaxed)
}

impl<'bound> RawPool<'bound> {
    /// See [`crate::Pool::new`]. Process context; may sleep.
    ///
    /// A pool stays in its box, because debugfs and its work item know where it is.
    pub(crate) fn new(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry,
        options: Options,
    ) -> Result<KBox<Self>> {
        options.check(dev)?;

        let current = new_current_pages()?;
        let contents = Contents::new(module_parameters::poison.value());
        // INVARIANT: `current` has just been made, and is dropped after the page table.
        let common = Common {
            geometry,
            contents,
            tokens: options.tokens,
            reserve: Reserve::new(options.min_nr)?,
            current: NonNull::from(&*current),
        };
        let common = KBox::new(common, GFP_KERNEL)?;

        // INVARIANT: `current` has just been made, and is that of `common`.
        let pool = Self {
            dev,
            name: CString::try_from(name)?,
            geometry,
            node: options.node,
            // SAFETY: `common` was made above, and lives in a box, for as long as the pool.
            table: unsafe { Table::new(&common) },
            common,
            current,
            pages: Atomic::new(0),
            high_water: Atomic::new(0),
            failures: Atomic::new(0),
            contents,
            index: None,
            refill: None,
            listing: None,
            module: None,
        };
        let pool = KBox::new(pool, GFP_KERNEL)?;

        pool.refill(gfp::without_oom(GFP_KERNEL))?;
        Ok(pool)
    }

    /// Frees by address from now on. Process context; may sleep.
    ///
    /// To be called before the first allocation.
    pub(crate) fn add_index(&mut self) -> Result {
        self.index = Some(Index::new(&self.geometry)?);
        Ok(())
    }

    /// Keeps the module from being unloaded while the pool is there. Any context.
    pub(crate) fn hold_module(&mut self) -> Result {
        self.module = Some(ModuleRef::new()?);
        Ok(())
    }

    /// Lists the pool in debugfs, if there is memory for that. Process context; may sleep.
    ///
    /// # Safety
    ///
    /// The memory of the pool must not be freed but by dropping it, and it must not move.
    pub(crate) unsafe fn list(&mut self) {
        // SAFETY: The pool does not move, and ends this first of all when it is dropped.
        self.listing = unsafe { Registration::new(self) }.ok();
    }

    /// Has the reserve filled by a work item whenever it falls short, if there is one. Process
    /// context; may sleep.
    ///
    /// # Safety
    ///
    /// The pool must not move. Before its device is unbound, it must be dropped, or
    /// [`RawPool::retire`] be called.
    pub(crate) unsafe fn refill_by_work(&mut self) -> Result {
        if self.common.reserve.min_nr() != 0 {
            // SAFETY: The pool does not move, and drops this before all else when it is dropped.
            self.refill = Some(unsafe { Refill::new(self)? });
        }
        Ok(())
    }

    /// Ends what a pool does by itself, if it is to stay for good: it is listed no more, and its
    /// work item does not run. Process context; may sleep.
    ///
    /// # Safety
    ///
    /// `this` must be a pool, which others may use by shared references, but for this function.
    pub(crate) unsafe fn retire(this: NonNull<Self>) {
        let this = this.as_ptr();

        // SAFETY: By the requirements of this function nobody else accesses `listing`, and
        // `refill` does not change.
        unsafe {
            drop((&raw mut (*this).listing).replace(None));
            if let Some(refill) = &(*this).refill {
                refill.stop();
            }
        }
    }

    pub(crate) fn device(&self) -> &'bound Device<Bound> {
        self.dev
    }

    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// See [`crate::Pool::alloc`].
    #[inline]
    pub(crate) fn alloc(&self, flags: Flags) -> Result<Taken<'_>> {
        let taken = self.alloc_as_is(flags)?;

        if self.prepares(flags) {
            self.prepare(&taken, flags);
        }
        Ok(taken)
    }

    /// Allocates a block, and leaves in it what there is.
    #[inline]
    fn alloc_as_is(&self, flags: Flags) -> Result<Taken<'_>> {
        // Without this, misuse would show only when growing.
        gfp::might_alloc(flags);

        match self.current().try_take(&self.geometry) {
            Some(taken) => Ok(taken),
            None => self.alloc_elsewhere(flags),
        }
    }

    /// Whether there is something to do to blocks that are allocated with `flags`.
    #[inline]
    pub(crate) fn prepares(&self, flags: Flags) -> bool {
        self.contents.on_alloc || flags.contains(__GFP_ZERO)
    }

    /// Fills a new block with what it should hold, and checks what it did hold if blocks are
    /// poisoned.
    #[cold]
    #[inline(never)]
    pub(crate) fn prepare(&self, taken: &Taken<'_>, flags: Flags) {
        if self.contents.poison {
            self.check_poison(taken);
        }
        if let Some(value) = self.contents.when_allocated(flags.contains(__GFP_ZERO)) {
            taken.fill_with(value);
        }
    }

    /// Reports if somebody has written to a block while it was free.
    fn check_poison(&self, taken: &Taken<'_>) {
        /// The most bytes to show.
        const SHOWN: usize = 256;

        let Some(first) = NonNull::new(taken.as_ptr()) else {
            return;
        };
        // SAFETY: The block has that many bytes.
        let Some(offset) = (unsafe { first_other(first, taken.size(), FREED) }) else {
            return;
        };
        let row = offset & !15;

        if !context::may_report() {
            return;
        }
        dev_err!(
            self.dev,
            "rust_dmapool: pool {}: block {:p}/{:#x} was written to at offset {offset} while it was free, bytes from {row} on:\n",
            *self.name,
            first.as_ptr(),
            taken.dma_address()
        );
        // SAFETY: The block goes on for as long as that.
        unsafe { dump(first.add(row), taken.size().wrapping_sub(row).min(SHOWN)) };
    }

    /// See [`crate::Pool::alloc_bulk`]. Calls `f` with each block, `count` times if this succeeds.
    /// Zeroing them is left to the caller.
    #[inline]
    pub(crate) fn alloc_bulk<'pool>(
        &'pool self,
        count: usize,
        flags: Flags,
        mut f: impl FnMut(Taken<'pool>),
    ) -> Result {
        let geometry = self.geometry;
        let mut left = count;

        while left > 0 {
            // One block in the usual way, which finds or makes a page to take more from.
            let first = self.alloc_as_is(flags)?;
            let page = first.page;

            f(first);
            left = left.wrapping_sub(1);
            let more = page.take_many(left, |index| {
                // INVARIANT: `take_many` returns blocks that nobody else has.
                f(Taken {
                    page,
                    place: geometry.place(index),
                })
            });
            left = left.saturating_sub(more);
        }
        Ok(())
    }

    /// See [`crate::Pool::prefill`].
    pub(crate) fn prefill(&self, count: usize, flags: Flags) -> Result {
        let mut free = self.count_free();

        while free < count as u64 {
            let page = self.add_page(flags, 0)?;

            free = free.wrapping_add(page.count_free().into());
            Table::announce(page, Kind::Free);
        }
        Ok(())
    }

    /// See [`crate::Pool::shrink`].
    pub(crate) fn shrink(&self) -> usize {
        let mut freed = 0usize;

        if self.index.is_some() {
            return 0;
        }
        if !context::may_sleep() {
            dev_err!(
                self.dev,
                "rust_dmapool: pool {}: not shrunk where nothing may sleep\n",
                *self.name
            );
            return 0;
        }

        for page in self.table.pages().filter(|page| page.is_free()) {
            let Some(memory) = page.empty() else {
                // While it could not be emptied after all, it may have looked empty to a search.
                announce_free(page);
                continue;
            };
            let pages = self.pages_in(&memory);

            // CAST: It was a `u32` when the pages were counted.
            self.pages.fetch_sub(pages as u32, Relaxed);
            drop(memory);
            PAGES_HELD.fetch_sub(pages, Relaxed);
            freed = freed.wrapping_add(pages);
            Table::announce(page, Kind::Vacant);
        }
        freed
    }

    fn count_free(&self) -> u64 {
        self.table
            .pages()
            .fold(0, |sum, page| sum.wrapping_add(page.count_free().into()))
    }

    /// What this CPU works on.
    #[inline]
    pub(crate) fn current(&self) -> &Current {
        // SAFETY: By the type invariants.
        unsafe { here(&self.current) }
    }

    /// Allocates a block when that is not to be had so easily.
    #[cold]
    #[inline(never)]
    fn alloc_elsewhere(&self, flags: Flags) -> Result<Taken<'_>> {
        let result = self.find_or_grow(flags, |pool| {
            // Who may wait gets memory from the system.
            if gfp::may_block(flags) {
                return None;
            }
            pool.common.reserve.take()
        });

        // The reserve may have been taken from, or found empty.
        if self.common.reserve.is_short() {
            self.make_good(flags);
        }
        if result.is_err() {
            self.failures.add(1u64, Relaxed);
        }
        result
    }

    /// Has the reserve filled, by whoever may wait for memory.
    fn make_good(&self, flags: Flags) {
        if let Some(refill) = &self.refill {
            refill.queue();
        } else if gfp::may_block(flags) {
            // There is a next time if this fails.
            let _ = self.refill(gfp::without_effort(flags));
        }
    }

    /// Fills the reserve. Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if there is not enough memory. What was had until then is kept.
    pub(crate) fn refill(&self, flags: Flags) -> Result {
        while self.common.reserve.is_short() {
            let taken = match self.current().try_take(&self.geometry) {
                Some(taken) => taken,
                None => self.find_or_grow(flags, |_| None)?,
            };

            // SAFETY: The block is of this pool, and given back if it is not kept.
            unsafe {
                if !self.common.reserve.put(&taken) {
                    taken.give();
                }
            }
        }
        Ok(())
    }

    /// Takes a block from wherever there is one, from `spare` before the pool grows.
    fn find_or_grow<'a>(
        &'a self,
        flags: Flags,
        spare: impl Fn(&'a Self) -> Option<Taken<'a>>,
    ) -> Result<Taken<'a>> {
        let current = self.current();

        if let Some(taken) = self
            .take(current.page())
            .or_else(|| self.search(current))
            .or_else(|| self.take_freed(current))
            .or_else(|| self.settle(current, flags))
            .or_else(|| self.steal(current))
            .or_else(|| spare(self))
        {
            return Ok(taken);
        }

        self.grow(current, flags).or_else(|err| {
            // Last resort: somebody may have freed a block meanwhile, or may have been about to
            // announce one.
            self.table
                .pages()
                .find_map(|page| self.take(page))
                .or_else(|| spare(self))
                .ok_or(err)
        })
    }

    /// Takes a block of `page`, if that has a free one.
    fn take<'pool>(&self, page: Page<'pool>) -> Option<Taken<'pool>> {
        // INVARIANT: `take` returns a block that nobody else has.
        page.take().map(|index| Taken {
            page,
            place: self.geometry.place(index),
        })
    }

    /// Takes a block of the page that this CPU has freed into last, and makes that the one to
    /// allocate from: it is in the cache.
    fn take_freed<'a>(&'a self, current: &'a Current) -> Option<Taken<'a>> {
        let page = current.freed();
        let taken = self.take(page)?;

        // SAFETY: Both are of this pool.
        unsafe { current.set(page) };
        Some(taken)
    }

    /// Takes a block of an announced page, and makes that the current page.
    fn search<'a>(&'a self, current: &'a Current) -> Option<Taken<'a>> {
        let found = || self.table.find(Kind::Free, current.page());

        // A page that was announced can be empty by now.
        iter::from_fn(found).find_map(|page| {
            let taken = self.take(page)?;

            // SAFETY: Both are of this pool.
            unsafe { current.set(page) };
            Some(taken)
        })
    }

    /// Adds a page, if that is easy, for a CPU that has lived on other CPUs' pages for a while.
    fn settle(&self, current: &Current, flags: Flags) -> Option<Taken<'_>> {
        if !current.needs_page() {
            return None;
        }
        let flags = if gfp::may_block(flags) {
            gfp::without_effort(flags)
        } else {
            // Not from what `GFP_ATOMIC` may use: there are free blocks elsewhere.
            GFP_NOWAIT | __GFP_NOWARN
        };

        self.grow(current, flags).ok()
    }

    /// Takes a block of a page that is a current one of another CPU.
    fn steal(&self, current: &Current) -> Option<Taken<'_>> {
        let taken = self
            .current
            .iter()
            .flat_map(|other| [other.page(), other.freed()])
            .find_map(|page| self.take(page))?;

        current.note_stolen();
        Some(taken)
    }

    /// Adds a page to the pool, and takes the first block of it.
    pub(crate) fn grow(&self, current: &Current, flags: Flags) -> Result<Taken<'_>> {
        let before = self.capacity();
        let page = self.add_page(flags, 1)?;

        // Most often a pool grows when all blocks are taken: then the level is known for free.
        self.note_level(before.saturating_sub(self.reserved()).wrapping_add(1));
        // SAFETY: Both are of this pool.
        unsafe { current.set(page) };
        // INVARIANT: `add_page` leaves the first block to its caller.
        Ok(Taken {
            page,
            place: self.geometry.place(0),
        })
    }

    /// Adds a page to the pool, the first `taken` blocks of which are the caller's. It is announced
    /// as nothing.
    fn add_page(&self, flags: Flags, taken: u32) -> Result<Page<'_>> {
        // The record goes into the table first: DMA memory could not be given back here, with
        // interrupts disabled maybe, if that failed.
        let page = self.vacant_page(flags)?;
        // SAFETY: The page was given to this thread as vacant.
        let order = unsafe { self.provide(page, flags) }.inspect_err(|_| {
            Table::announce(page, Kind::Vacant);
        })?;

        // Relaxed: nothing is inferred from the count. Before there are blocks, because then the
        // page may be given back, which counts it out again.
        self.pages.add(1u32.wrapping_shl(order), Relaxed);
        // SAFETY: As above. The page has memory of that order now. With an index no page loses its
        // blocks, so it has had none.
        unsafe { page.fill(&self.geometry, order, taken, self.index.is_some()) };
        Ok(page)
    }

    /// Gives `page` memory, and enters it into the index. Returns how many pages it is, as a power
    /// of two.
    ///
    /// If that fails half-way, the page keeps what it has for the next time.
    ///
    /// # Safety
    ///
    /// `page` must have been given to the caller as vacant.
    unsafe fn provide(&self, page: Page<'_>, flags: Flags) -> Result<u32> {
        // SAFETY: By the requirements of this function.
        let memory = unsafe { page.memory_of_vacant(|| self.run_of_pages(flags)) }?;

        if let Some(index) = &self.index {
            // SAFETY: The page keeps this memory: with an index, `shrink` does nothing.
            unsafe { index.insert(page, memory, gfp::for_records(flags))? };
        }
        Ok(self.pages_in(memory).checked_ilog2().unwrap_or(0))
    }

    /// Gets memory from the system: the larger the pool, the more at once, but not more than
    /// half of what it has; or else as little as possible.
    fn run_of_pages(&self, flags: Flags) -> Result<Coherent<[u8]>> {
        let memory = self.coherent(gfp::for_dma(flags, self.geometry.page_size()))?;

        // Relaxed: nothing is inferred from the count.
        PAGES_HELD.add(self.pages_in(&memory), Relaxed);
        if self.contents.poison {
            // SAFETY: Nobody else knows this memory yet.
            unsafe {
                memory
                    .as_mut_ptr()
                    .cast::<u8>()
                    .write_bytes(FREED, memory.len())
            };
        }
        Ok(memory)
    }

    fn coherent(&self, flags: Flags) -> Result<Coherent<[u8]>> {
        let size = self.geometry.page_size();
        let order = (read_once(&self.pages) / 2)
            .checked_ilog2()
            .unwrap_or(0)
            .min(self.geometry.max_order());

        // For those who may not block, memory that must be decrypted or remapped comes from a
        // small pool that all interrupt handlers share: not more of that than has to be.
        if order > 0 && gfp::may_block(flags) {
            let (size, flags) = (size.wrapping_shl(order), gfp::without_effort(flags));

            if let Ok(memory) = Coherent::zeroed_slice(self.dev, size, flags) {
                return Ok(memory);
            }
        }
        Coherent::zeroed_slice(self.dev, size, flags)
    }

    /// How many pages this memory is.
    fn pages_in(&self, memory: &Coherent<[u8]>) -> usize {
        memory
            .len()
            .checked_div(self.geometry.page_size())
            .unwrap_or(0)
    }

    /// A page in the table that has no blocks, and that is given to nobody else.
    fn vacant_page(&self, flags: Flags) -> Result<Page<'_>> {
        if let Some(page) = self.table.find(Kind::Vacant, Page::nothing()) {
            return Ok(page);
        }

        let flags = gfp::for_records(flags);
        let page = Page::new(&self.common, flags, self.node)?;
        // SAFETY: The page is new, and stays if it is inserted.
        unsafe { self.table.insert(page, flags) }.inspect_err(|_| {
            // SAFETY: The table did not take the page, so nobody else has it.
            drop(unsafe { page.free(&self.common) });
        })?;
        Ok(page)
    }

    /// Frees the block that is at `address` for the CPU and at `dma` for the device.
    ///
    /// Any context; a few steps, however many pages there are.
    ///
    /// # Errors
    ///
    /// If there is no such block or it is free, [`BadFree`] says why, and nothing has changed.
    ///
    /// # Safety
    ///
    /// If there is such a block, the caller must have it, and not use it after this.
    #[inline]
    pub(crate) unsafe fn free(&self, address: *mut u8, dma: DmaAddress) -> Result<(), BadFree> {
        let (page, offset) = self
            .index
            .as_ref()
            .and_then(|index| index.find(dma))
            .ok_or(BadFree::Foreign)?;
        // SAFETY: A page in the index keeps its memory, so this is as good as having a block.
        let memory = unsafe { page.memory() };
        let first = memory.as_mut_ptr().cast::<u8>();

        // CAST: Widening.
        if first.wrapping_add(offset as usize) != address {
            return Err(BadFree::Mismatch);
        }
        let place = self.geometry.block_at(offset).ok_or(BadFree::Inside)?;

        if page.frees_slowly() {
            // SAFETY: There is an index, and by the requirements of this function.
            unsafe { page.fill_if_taken(place) };
        }
        // SAFETY: As above.
        match unsafe { page.try_give(place.index()) } {
            Some(true) => first_freed(page),
            Some(false) => {}
            None if place.index() < page.blocks() => return Err(BadFree::AlreadyFree),
            None => return Err(BadFree::Inside),
        }
        Ok(())
    }

    /// The block that is out as `raw`, which is the caller's then. See [`crate::Pool::from_raw`].
    pub(crate) fn take_back(&self, raw: RawBlock) -> Option<Taken<'_>> {
        let (number, index) = raw.page_and_index(&self.geometry)?;
        let page = self.table.get(number)?;

        // INVARIANT: By the invariants of the count, the block is taken, by this thread now.
        page.count_of(index)?
            .take_back(raw.number())
            .then(|| Taken {
                page,
                place: self.geometry.place(index),
            })
    }

    /// All pages, with or without memory, in the order of their numbers.
    pub(crate) fn pages(&self) -> impl Iterator<Item = Page<'_>> {
        self.table.pages()
    }

    /// How many page records there are, with or without memory.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn records(&self) -> u32 {
        self.table.len()
    }

    /// Pages that have something, and that no allocation would find but by looking at all of them.
    ///
    /// While nobody allocates or frees there must be none.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn lost_pages(&self) -> usize {
        let is_current = |page| {
            self.current
                .iter()
                .any(|current| current.page() == page || current.freed() == page)
        };

        self.table
            .pages()
            .filter(|&page| match page.blocks() {
                0 => !Table::leads_to(page, Kind::Vacant),
                _ => page.has_free() && !is_current(page) && !Table::leads_to(page, Kind::Free),
            })
            .count()
    }

    /// How many blocks the reserve holds.
    fn reserved(&self) -> u64 {
        // CAST: Widening.
        self.common.reserve.len() as u64
    }

    fn capacity(&self) -> u64 {
        u64::from(read_once(&self.pages)).wrapping_mul(self.geometry.blocks_per_page().into())
    }

    /// Raises the high-water mark to `live` blocks if it is lower, and returns it.
    fn note_level(&self, live: u64) -> u64 {
        let mut mark = read_once(&self.high_water);

        while mark < live {
            // Relaxed: nothing is inferred from the mark.
            match self.high_water.cmpxchg(mark, live, Relaxed) {
                Ok(_) => return live,
                Err(now) => mark = now,
            }
        }
        mark
    }

    /// See [`crate::Pool::statistics`].
    pub(crate) fn statistics(&self) -> Statistics {
        let capacity = self.capacity();
        let reserved = self.reserved();
        let live = capacity
            .saturating_sub(self.count_free())
            .saturating_sub(reserved);

        Statistics {
            pages: read_once(&self.pages),
            capacity,
            live,
            high_water: self.note_level(live),
            failures: read_once(&self.failures),
            min_nr: self.common.reserve.min_nr(),
            reserved,
        }
    }
}

impl Drop for RawPool<'_> {
    /// Frees the pages, but for those with blocks that are still allocated: a device may write to
    /// these. Their memory stays for good, and with it a reference to the device.
    fn drop(&mut self) {
        let mut live = 0u64;
        let mut kept = 0usize;

        self.refill = None;
        self.listing = None;
        while let Some(taken) = self.common.reserve.take() {
            // SAFETY: The block was the reserve's. Nobody looks for it any more.
            unsafe { taken.page.give(taken.place.index()) };
        }

        for page in self.table.pages() {
            let taken = page.blocks().saturating_sub(page.count_free());
            // SAFETY: `&mut self` means that no block borrows the pool, and that nobody allocates.
            // The table is not asked for this page again.
            let Some(memory) = (unsafe { page.free(&self.common) }) else {
                continue;
            };

            let pages = self.pages_in(&memory);

            if taken != 0 {
                live = live.wrapping_add(taken.into());
                kept = kept.wrapping_add(pages);
                mem::forget(memory);
            } else {
                PAGES_HELD.fetch_sub(pages, Relaxed);
            }
        }
        if live != 0 {
            dev_err!(
                self.dev,
                "rust_dmapool: pool {}: destroyed with {live} blocks allocated, \
                 {kept} pages kept\n",
                *self.name
            );
        }
    }
}

/// Why a free by address was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFree {
    /// The pool has no memory at this DMA address.
    Foreign,
    /// The two addresses are not of the same byte.
    Mismatch,
    /// No block begins there.
    Inside,
    /// The block is free.
    AlreadyFree,
}

impl fmt::Display for BadFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "not of this pool",
            Self::Mismatch => "the DMA address is not that of the address",
            Self::Inside => "no block begins there",
            Self::AlreadyFree => "already free",
        })
    }
}

/// What a pool holds at a moment; from [`crate::Pool::statistics`].
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::{
///         Bound,
///         Device, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::Pool;
///
/// fn report(dev: &Device<Bound>, pool: &Pool<'_>) {
///     let now = pool.statistics();
///
///     dev_info!(dev, "{} of {} blocks in {} pages\n", now.live, now.capacity, now.pages);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Pages of DMA memory.
    pub pages: u32,
    /// Blocks in these pages.
    pub capacity: u64,
    /// Blocks that are allocated: held as [`crate::Block`], out as [`crate::RawBlock`], forgotten.
    pub live: u64,
    /// About the most blocks that were allocated at once, as known when the pool grew or this was
    /// asked for. It may be too low by what the last growth added, and too high by the free blocks
    /// of other CPUs' pages.
    pub high_water: u64,
    /// Allocations that failed.
    pub failures: u64,
    /// Blocks that are to be kept for allocations that may not wait; see
    /// [`Options::min_nr`](crate::Options::min_nr).
    pub min_nr: usize,
    /// How many of these there are. They are neither free nor live.
    pub reserved: u64,
}
