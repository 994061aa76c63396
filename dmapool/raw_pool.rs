// SPDX-License-Identifier: GPL-2.0

//! What a pool consists of, without the types of its public face. It deals in bytes; what a block
//! holds is not its business.
//!
//! What a pool does is in files of their own: `publish.rs`, `page_memory.rs`, `grow.rs`, `find.rs`,
//! `refill.rs`, `alloc.rs`, `init_block.rs`, `free.rs`, `checked_free.rs`, `shrink.rs`,
//! `statistics.rs`, `tokens.rs`. Allocating a free block and freeing one take no lock and leave
//! interrupts as they are. Growing takes the locks of the system's allocators and, for a pool with
//! an address map, that of its xarray; having the reserve refilled takes that of a workqueue.
//! Nothing is held meanwhile.

use crate::{
    address_map::AddressMap,
    cpu_pages::{
        self,
        new_cpu_pages,
        CpuPages, //
    },
    geometry::Geometry,
    init::InitPolicy,
    options::Options,
    page::Page,
    page_count::PageCount,
    page_spec::PageSpec,
    page_tree::PageTree,
    refill_work::RefillWork,
    reserve::Reserve, //
};
use core::mem;
use kernel::{
    alloc::NumaNode,
    device::{
        Bound,
        Device, //
    },
    dma::Coherent,
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
/// - `cpus` comes from [`new_cpu_pages`].
/// - There are `addresses` if frees are checked, and only then. They find a page by
///   `find_plain` only if its blocks are placed by a multiplication, and freed by giving their bit
///   back.
/// - The pool of the nodes of `tree` is this one. It has not moved since there are any.
pub(crate) struct RawPool<'bound> {
    pub(crate) dev: &'bound Device<Bound>,
    pub(crate) name: CString,
    pub(crate) spec: PageSpec,
    pub(crate) init: InitPolicy,
    /// Where page records are allocated.
    pub(crate) node: NumaNode,
    pub(crate) tree: PageTree,
    pub(crate) cpus: Pin<KVBox<[CpuPages]>>,
    pub(crate) reserve: Reserve,
    /// If there are, no page loses its memory before the pool is destroyed.
    pub(crate) addresses: Option<AddressMap>,
    /// Whether a block is placed by a multiplication, and nothing is done to it when it is
    /// allocated, unless the caller wants zeroes.
    pub(crate) plain_alloc: bool,
    /// Only if there is a reserve, and the pool is sure to end before its device's binding does.
    pub(crate) refill_work: Option<RefillWork>,
    pub(crate) pages: PageCount,
    /// The most blocks that were seen to be allocated at once.
    pub(crate) high_water: Atomic<u64>,
    /// Allocations that failed.
    pub(crate) failures: Atomic<u64>,
    /// How often memory of the system was of no use, because of where it lies.
    pub(crate) misplaced: Atomic<u32>,
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
    /// A pool without pages. Process context; may sleep.
    ///
    /// # Safety
    ///
    /// The pool must be where it stays before anybody allocates from it. If it is refilled by work,
    /// then it must be destroyed, or [`RawPool::stop_refilling`] be called, before its device is
    /// unbound.
    pub(crate) unsafe fn new(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry,
        options: Options,
    ) -> Result<Self> {
        options.check(dev, name)?;

        let init = InitPolicy::new();
        let slow_free = init.on_free().is_some() || options.min_nr != 0;
        let spec = PageSpec::new(geometry, options.tokens, options.checked_frees, slow_free);
        let addresses = if options.checked_frees {
            Some(AddressMap::new(
                &geometry,
                geometry.is_dense() && !slow_free,
            )?)
        } else {
            None
        };
        let refill_work = if options.refilled_by_work && options.min_nr != 0 {
            Some(RefillWork::new()?)
        } else {
            None
        };

        // INVARIANT: `cpus` has just been made, and the tree has no nodes.
        Ok(Self {
            dev,
            name: CString::try_from(name)?,
            spec,
            init,
            node: options.node,
            tree: PageTree::new(),
            cpus: new_cpu_pages(&spec)?,
            reserve: Reserve::new(options.min_nr)?,
            plain_alloc: geometry.is_dense() && !init.always,
            addresses,
            refill_work,
            pages: PageCount::new(),
            high_water: Atomic::new(0),
            failures: Atomic::new(0),
            misplaced: Atomic::new(0),
        })
    }

    /// The pool to which `page` belongs, unless it is [`Page::nothing`].
    ///
    /// The way there leads from the record to the leaf, by plain reads: for the kernel's memory
    /// model a dependency ends before the second. So the caller must have acquired the page, by a
    /// bit of it for instance, or come behind a full barrier.
    #[inline]
    pub(crate) fn of<'pool>(page: Page<'pool>) -> Option<&'pool RawPool<'pool>> {
        let pool = page.leaf()?.pool().cast::<RawPool<'pool>>();

        // SAFETY: By the type invariants, and those of `Node`, this is the page's pool, which lives
        // for `'pool` and is only used by shared references while it has pages.
        Some(unsafe { pool.as_ref() })
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.spec.geometry
    }

    /// The pages of the CPU on which this runs.
    #[inline]
    pub(crate) fn this_cpu(&self) -> &CpuPages {
        // SAFETY: By the type invariants.
        unsafe { cpu_pages::this_cpu(&self.cpus) }
    }

    /// All pages, populated or not, in the order of their numbers.
    pub(crate) fn all_pages(&self) -> impl Iterator<Item = Page<'_>> {
        self.tree.pages()
    }

    /// Ends what a pool does by itself, if it is to stay for good. Process context; may sleep.
    pub(crate) fn stop_refilling(&self) {
        if let Some(work) = &self.refill_work {
            work.stop();
        }
    }

    /// How many pages this memory is.
    pub(crate) fn pages_in(&self, memory: &Coherent<[u8]>) -> usize {
        memory
            .len()
            .checked_div(self.geometry().page_size())
            .unwrap_or(0)
    }

    /// Counts memory that was obtained from the system.
    pub(crate) fn count_in(&self, memory: &Coherent<[u8]>) {
        // Relaxed: nothing is inferred from the count.
        PAGES_HELD.add(self.pages_in(memory), Relaxed);
    }

    /// Gives memory back to the system. Process context with interrupts enabled; may sleep.
    pub(crate) fn give_back(&self, memory: Coherent<[u8]>) {
        let pages = self.pages_in(&memory);

        drop(memory);
        PAGES_HELD.fetch_sub(pages, Relaxed);
    }
}

impl Drop for RawPool<'_> {
    /// Frees the pages, but for those with blocks that are still allocated: a device may write to
    /// these. Their memory stays for good, and with it a reference to the device.
    fn drop(&mut self) {
        let mut live = 0u64;
        let mut kept = 0usize;
        let mut late_writes = 0u32;

        self.refill_work = None;
        while let Some(block) = self.reserve.take() {
            // SAFETY: The block was the reserve's. Nobody looks for it any more.
            unsafe { block.page.give(block.place.bit()) };
        }

        for page in self.tree.pages() {
            let allocated = page.blocks().saturating_sub(page.count_free());
            if page.blocks() != 0 {
                // SAFETY: The page has blocks, and nobody else uses the pool.
                let memory = unsafe { page.memory() };

                self.check_free_blocks(memory, |index| !page.is_allocated(index), &mut late_writes);
            }
            // SAFETY: `&mut self` means that no block borrows the pool, and that nobody allocates.
            // The tree is not asked for this page again.
            let Some(memory) = (unsafe { page.free_record(&self.spec) }) else {
                continue;
            };

            if allocated == 0 {
                self.give_back(memory);
            } else {
                live = live.wrapping_add(allocated.into());
                kept = kept.wrapping_add(self.pages_in(&memory));
                mem::forget(memory);
            }
        }
        self.report_late_writes(late_writes);
        if live != 0 {
            dev_err!(
                self.dev,
                "rust_dmapool: pool {}: destroyed with {live} blocks allocated, \
                 {kept} pages kept\n",
                crate::c_string::Readable(&self.name)
            );
        }
    }
}
