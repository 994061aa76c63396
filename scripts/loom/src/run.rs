// SPDX-License-Identifier: GPL-2.0

//! How a model is run, and what must hold at the end of each execution.

use crate::{
    allocated::Allocated,
    checked_free::BadFree,
    geometry::Geometry,
    gfp,
    raw_pool::{
        self,
        RawPool, //
    },
    tokens::RawBlock,
    Block,
    Options, //
};
use kernel::{
    device::Device,
    dma::DmaAddress,
    model::{
        self,
        Settings, //
    },
    page::PAGE_SIZE,
    prelude::*,
};
use std::{
    cell::{
        Cell,
        RefCell, //
    },
    mem::ManuallyDrop,
    ops::Deref,
    time::Instant, //
};

/// For as long as an execution.
#[derive(Clone, Copy)]
pub(crate) struct Pool {
    raw: &'static RawPool<'static>,
    /// Whether blocks are freed by their addresses.
    checked: bool,
}

impl Deref for Pool {
    type Target = RawPool<'static>;

    fn deref(&self) -> &RawPool<'static> {
        self.raw
    }
}

/// A block that its owner writes to.
pub(crate) struct Owned {
    pool: Pool,
    block: ManuallyDrop<Block<'static>>,
}

impl Owned {
    fn new(pool: Pool, block: Allocated<'static>) -> Self {
        // SAFETY: It is not used elsewhere, and a pool lives as long as an execution.
        let block: Block<'static> = unsafe { Block::new(block) };

        model::own(block.as_ptr().cast(), true);
        Self {
            pool,
            block: ManuallyDrop::new(block),
        }
    }

    pub(crate) fn address(&self) -> Address {
        Address {
            cpu: self.block.as_ptr().cast(),
            dma: self.block.dma_address(),
        }
    }

    /// Whether its owner sees that the page has such a block.
    pub(crate) fn is_known(&self) -> bool {
        let Allocated { page, place } = self.block.allocated();

        page.is_allocated(self.pool.spec.index_of(place.bit()))
    }

    /// Nobody owns the block until somebody turns the token back.
    pub(crate) fn let_out(self) -> RawBlock {
        let mut this = ManuallyDrop::new(self);

        model::own(this.address().cpu, false);
        // SAFETY: It is not used again.
        let block = unsafe { ManuallyDrop::take(&mut this.block) };
        block.into_raw().expect("the pool has tokens")
    }

    /// Nobody owns the block from now on, though it is taken.
    pub(crate) fn disown(self) -> Address {
        let address = ManuallyDrop::new(self).address();

        model::own(address.cpu, false);
        address
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Not when a model has failed: a second panic would hide the first.
        if std::thread::panicking() {
            return;
        }
        model::own(self.address().cpu, false);
        if self.pool.checked {
            let result = free_at(self.pool, self.address());
            assert!(result.is_ok(), "a block cannot be freed: {result:?}");
        } else {
            // SAFETY: It is not used again.
            unsafe { ManuallyDrop::drop(&mut self.block) };
        }
    }
}

pub(crate) type Blocks = Vec<Owned>;

/// Allocates a block, if there is one to be had.
pub(crate) fn alloc(pool: Pool) -> Option<Owned> {
    // C allocates where frees are checked.
    let block = if pool.checked && pool.raw.plain_alloc {
        // SAFETY: They are, and the pool has `plain_alloc`.
        match unsafe { pool.raw.alloc_checked_at_once(GFP_KERNEL) } {
            Some(block) => block,
            None => pool.raw.alloc_slow(GFP_KERNEL).ok()?,
        }
    } else {
        pool.raw.alloc(GFP_KERNEL).ok()?
    };

    Some(Owned::new(pool, block))
}

/// The same by somebody who may not wait.
pub(crate) fn alloc_atomic(pool: Pool) -> Option<Owned> {
    let block = pool.raw.alloc(GFP_NOWAIT).ok()?;

    Some(Owned::new(pool, block))
}

/// Takes back the block that is out as `raw`, if there is one.
pub(crate) fn take_back(pool: Pool, raw: RawBlock) -> Option<Owned> {
    let block = pool.raw.take_back(raw)?;

    Some(Owned::new(pool, block))
}

/// Allocates a block of this CPU's page, if that is possible at once.
pub(crate) fn alloc_at_once(pool: Pool) -> Option<Owned> {
    let block = pool.raw.alloc_at_once(GFP_KERNEL)?;

    Some(Owned::new(pool, block))
}

pub(crate) fn alloc_bulk(pool: Pool, count: usize) -> Blocks {
    let mut blocks = Vec::new();

    // What was had before it failed is good, too.
    let _ = pool.raw.alloc_bulk(count, GFP_KERNEL, |block| {
        blocks.push(Owned::new(pool, block));
    });
    blocks
}

/// What C knows of a block.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    pub(crate) cpu: *mut u8,
    pub(crate) dma: DmaAddress,
}

fn free_at(pool: Pool, address: Address) -> Result<(), BadFree> {
    // SAFETY: The models free no block that somebody owns.
    unsafe { pool.raw.free_by_address(address.cpu, address.dma) }
}

// All of loom's threads are one of the system's, so they share this.
thread_local! {
    static TARGET: Cell<Option<Address>> = const { Cell::new(None) };
    static OUTCOMES: RefCell<Vec<Outcome>> = const { RefCell::new(Vec::new()) };
}

/// Has [`free_target`] free what is there.
pub(crate) fn aim_at(address: Address) {
    TARGET.set(Some(address));
}

/// What came of a free of the target.
pub(crate) type Outcome = Result<(), BadFree>;

/// Frees what may be nobody's.
pub(crate) fn free_target(pool: Pool) {
    let target = TARGET.get().expect("the model has a target");
    let outcome = free_at(pool, target);

    OUTCOMES.with_borrow_mut(|outcomes| outcomes.push(outcome));
}

/// What a thread does with the blocks that it has. It returns those it has in the end.
pub(crate) type Body = fn(Pool, Blocks) -> Blocks;

pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// Blocks in a page.
    pub(crate) blocks: usize,
    /// Whether pages are joined when the pool is large enough.
    pub(crate) joins: bool,
    /// Whether blocks are freed by their addresses.
    pub(crate) checked: bool,
    pub(crate) options: Options,
    /// How often threads may be interrupted where they could go on; `None` for any number.
    pub(crate) preemptions: Option<usize>,
    /// How many atomic variables the threads use at most.
    pub(crate) atomics: usize,
    /// What comes first, in a thread of its own. It returns the blocks for each thread.
    pub(crate) before: fn(Pool) -> Vec<Blocks>,
    /// The threads, and the CPUs they run on.
    pub(crate) threads: &'static [(u32, Body)],
    /// Whether that may come of the frees of the target.
    pub(crate) outcomes: fn(&[Outcome]) -> bool,
}

impl Model {
    pub(crate) const DEFAULT: Self = Self {
        name: "",
        blocks: 1,
        joins: false,
        checked: false,
        options: Options::new(),
        preemptions: None,
        atomics: 72,
        before: |_| Vec::new(),
        threads: &[],
        outcomes: |outcomes| outcomes.is_empty(),
    };

    fn cpus(&self) -> u32 {
        1 + self.threads.iter().map(|(cpu, _)| *cpu).max().unwrap_or(0)
    }

    pub(crate) fn check(&'static self) {
        let &Model {
            name,
            blocks,
            joins,
            checked,
            options,
            ..
        } = self;
        let settings = Settings {
            cpus: self.cpus(),
            preemptions: self.preemptions,
            atomics: self.atomics,
        };
        let start = Instant::now();

        let count = model::check(settings, move || {
            // With something left over at their ends, pages are not joined.
            let size = PAGE_SIZE / blocks - usize::from(!joins);
            let geometry = Geometry::check(size, 0, 0).unwrap();
            let options = Options {
                checked_frees: checked,
                ..options
            };
            // SAFETY: The pool goes into a box before anybody allocates.
            let pool = unsafe { RawPool::new(Device::ONLY, c"loom", geometry, options) };
            let pool = KBox::into_raw(KBox::new(pool.unwrap(), GFP_KERNEL).unwrap());

            // SAFETY: The pool lives until the end of the execution, below.
            let raw = unsafe { &*pool };
            raw.refill(gfp::without_oom(GFP_KERNEL)).unwrap();
            self.once(Pool { raw, checked });
            // SAFETY: Nobody uses it any more.
            drop(unsafe { KBox::from_raw(pool) });
            assert!(model::dma_live() == 0 && raw_pool::pages_held() == 0);
        });
        println!("{name}: {count} executions, {:.1?}", start.elapsed());
    }

    fn leave_out_counters(&self, pool: Pool) {
        let count = || {
            pool.statistics();
            raw_pool::pages_held();
            pool.pages.promise(0, 0);
            for cpu in 0..self.cpus() {
                model::run_on(cpu);
                pool.this_cpu().is_poor();
                pool.this_cpu().claim_spare_page();
            }
            model::run_on(0);
        };
        let find = || {
            pool.all_pages().for_each(|page| {
                page.count_free();
            });
        };

        model::leave_out_counters(count, find);
    }

    fn once(&self, pool: Pool) {
        TARGET.set(None);
        OUTCOMES.take();
        let mut blocks = (self.before)(pool);

        self.leave_out_counters(pool);
        blocks.resize_with(self.threads.len(), Vec::new);
        let threads = self
            .threads
            .iter()
            .zip(blocks)
            .map(|((cpu, body), blocks)| {
                let body = *body;
                let thread: Box<dyn FnOnce() -> Blocks> = Box::new(move || body(pool, blocks));
                (*cpu, thread)
            });
        let mut blocks: Blocks = model::threads(threads.collect())
            .into_iter()
            .flatten()
            .collect();

        let outcomes = OUTCOMES.take();
        assert!((self.outcomes)(&outcomes), "{outcomes:?}");

        // Searches find each page that has something.
        assert!(pool.unpublished_pages() == 0, "unpublished pages");
        let now = pool.statistics();
        assert!(
            now.live == blocks.len() as u64,
            "{now:?}, {} blocks",
            blocks.len()
        );

        // All that is free can be had, and nothing else.
        model::limit_dma(0);
        while let Some(block) = alloc_atomic(pool) {
            blocks.push(block);
        }
        assert!(
            now.capacity == blocks.len() as u64,
            "{now:?}, {} blocks",
            blocks.len()
        );

        drop(blocks);
        assert!(
            pool.unpublished_pages() == 0,
            "unpublished pages after all blocks were freed"
        );
        let end = pool.statistics();
        assert!(
            end.live == 0 && end.reserved == end.min_nr as u64,
            "{end:?}"
        );
        // An address map keeps what it has found, and a reserve its pages.
        let shrunk = if self.checked { 0 } else { now.pages };
        if end.min_nr == 0 {
            assert!(pool.shrink() == shrunk as usize, "cannot be shrunk");
            assert!(self.checked || model::dma_live() == 0);
        }
    }
}
