// SPDX-License-Identifier: GPL-2.0

//! What a pool consists of, without the types of its public face, and its end. It deals in bytes;
//! what a block holds is not its business.
//!
//! Allocating a free block and freeing one take no lock and leave interrupts as they are. Growing
//! takes the locks of the system's allocators. Nothing is held meanwhile.

use super::super::sys::prelude::*;
use super::{
    super::sys::report::pool_err,
    chunk::{
        Chunk,
        ChunkList, //
    },
    cpu::{
        Cpu,
        Cpus, //
    },
    geometry::RawGeometry,
    layout::SlabLayout,
    map::Map,
    options::Options,
    page_count::PageCount,
    policy::{
        parameters,
        Policy, //
    },
    quarantine::Quarantine,
    slab::Slab, //
};
use kernel::str::CString;

// `sys/dmapool_debug.c`
extern "C" {
    fn rust_dmapool_init_stacks();
}

/// A pool without the types of its public face, [`Pool`].
///
/// # Invariants
///
/// - There is `by_number` if there are tokens, and `by_address` if frees are checked or blocks are
///   found by their addresses. That has all pages with blocks.
/// - The chunks of `chunks` and `reserve` are this pool's. It has not moved since there are any.
pub(crate) struct RawPool<'bound> {
    pub(crate) dev: &'bound Device<Bound>,
    pub(crate) name: CString,
    pub(crate) layout: SlabLayout,
    pub(crate) policy: Policy,
    /// Where slabs are allocated.
    pub(crate) node: NumaNode,
    pub(crate) cpus: Cpus,
    /// Slabs by their numbers.
    pub(crate) by_number: Option<Map>,
    /// Pages by their DMA addresses.
    pub(crate) by_address: Option<Map>,
    pub(crate) chunks: ChunkList,
    /// Slabs in which no CPU searches but for callers who may not wait. What is freed there comes
    /// back by itself.
    pub(crate) reserve: ChunkList,
    /// How many blocks the reserve has, at most 4,096.
    pub(crate) min_nr: usize,
    /// The blocks that wait after they were freed, if any do.
    pub(crate) quarantine: Option<Quarantine>,
    /// Whether blocks that are still allocated at the end are given back.
    ends_blocks: bool,
    pub(crate) chunk_count: Atomic<u32>,
    pub(crate) pages: PageCount,
    /// The most blocks that were seen to be allocated at once.
    pub(crate) high_water: Atomic<u64>,
    /// Allocations that failed.
    pub(crate) failures: Atomic<u64>,
    /// How often memory of the system was of no use, because of where it lies.
    pub(crate) misplaced: Atomic<u32>,
}

impl<'bound> RawPool<'bound> {
    /// A pool without pages. Process context; may sleep.
    ///
    /// It must be where it stays when [`RawPool::start`] is called, which is to come first.
    pub(crate) fn new(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: RawGeometry,
        options: Options,
    ) -> Result<Self> {
        options.check(dev, name)?;

        let policy = Policy::new();
        if parameters().track {
            // SAFETY: The function has no requirements but its context.
            unsafe { rust_dmapool_init_stacks() };
        }
        let geometry = geometry.with_red_zone(parameters().redzone);
        let map_if = |needed: bool| needed.then(Map::new).transpose();

        // INVARIANT: There are no chunks.
        Ok(Self {
            dev,
            name: CString::try_from(name)?,
            layout: SlabLayout::new(geometry, &options, &policy)?,
            policy,
            node: options.node,
            cpus: Cpus::new()?,
            by_number: map_if(options.tokens)?,
            by_address: map_if(options.addresses || options.checked_frees)?,
            chunks: ChunkList::new(),
            reserve: ChunkList::new(),
            min_nr: options.min_nr,
            quarantine: Quarantine::new(parameters().quarantine)?,
            ends_blocks: options.ends_blocks,
            chunk_count: Atomic::new(0),
            pages: PageCount::new(),
            high_water: Atomic::new(0),
            failures: Atomic::new(0),
            misplaced: Atomic::new(0),
        })
    }

    /// The pool to which `slab` belongs.
    ///
    /// The way there leads from the slab to the chunk, by plain reads: for the kernel's memory
    /// model a dependency ends before the second. So the caller must have acquired the slab, by a
    /// bit of it for instance, or come behind a full barrier.
    #[inline]
    pub(crate) fn of<'pool>(slab: Slab<'pool>) -> &'pool RawPool<'pool> {
        let pool = slab.chunk().pool().cast::<RawPool<'pool>>();

        // SAFETY: By the type invariants, and those of `Chunk`, this is the slab's pool, which
        // lives for `'pool` and is only used by shared references while it has slabs.
        unsafe { pool.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn geometry(&self) -> &RawGeometry {
        &self.layout.geometry
    }

    /// Says that something is wrong with this pool.
    pub(crate) fn err(&self, what: fmt::Arguments<'_>) {
        pool_err(self.dev, &self.name, what);
    }

    /// All chunks but those of the reserve: first that of the slab from which `cpu` allocates and
    /// those behind it, then all. So CPUs keep apart, and go on where they were.
    pub(crate) fn chunks_from<'a>(&'a self, cpu: &'a Cpu) -> impl Iterator<Item = &'a Chunk> {
        Iterator::chain(cpu.current_acquire().chunk().iter(), self.chunks.iter())
    }

    /// All slabs, those of the reserve too.
    pub(crate) fn slabs(&self) -> impl Iterator<Item = Slab<'_>> {
        Iterator::chain(self.chunks.slabs(), self.reserve.slabs())
    }
}

impl Drop for RawPool<'_> {
    /// Frees the slabs and their pages, but for those with blocks that are still allocated, unless
    /// these are to end: a device may write to them. Their memory stays for good, and with it a
    /// reference to the device.
    fn drop(&mut self) {
        self.end_quarantine();
        if !self.ends_blocks {
            self.report_leaks();
        }
        let mut live = 0u64;
        let mut kept = 0usize;
        let layout = &self.layout;

        for slab in self.slabs() {
            let end_page = |page, memory| {
                let live_here = slab.count_live(page, layout);
                let is_free = |bit| !slab.is_allocated(bit, layout);

                // SAFETY: Nobody allocates any more.
                unsafe { self.check_free_blocks(slab, page, &memory, is_free) };
                if live_here == 0 || self.ends_blocks {
                    self.give_back(memory);
                } else {
                    live = live.wrapping_add(live_here);
                    kept = kept.wrapping_add(1);
                    mem::forget(memory);
                }
            };

            // SAFETY: `&mut self` means that no block borrows the pool, and that nobody allocates.
            // The chunk is not asked for this slab again.
            unsafe { slab.free(layout, end_page) };
        }
        if live != 0 {
            self.err(fmt!(
                "destroyed with {live} blocks allocated, {kept} pages kept"
            ));
        }
    }
}

/// For tests.
#[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
impl RawPool<'_> {
    /// How many slabs have a free block that is not published. Nobody may use the pool meanwhile.
    pub(crate) fn unpublished_slabs(&self) -> usize {
        let is_of_a_cpu = |slab: &Slab<'_>| self.cpus.iter().any(|cpu| cpu.current() == *slab);
        let is_announced = |slab: &Slab<'_>| slab.chunk().announces(*slab);

        self.chunks
            .slabs()
            .filter(|slab| slab.count_free(&self.layout) != 0)
            .filter(|slab| !is_of_a_cpu(slab) && !is_announced(slab))
            .count()
    }
}
