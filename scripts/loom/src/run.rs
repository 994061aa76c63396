// SPDX-License-Identifier: GPL-2.0

//! How a model is run, and what must hold at the end of each execution.

use crate::{
    allocator::{
        free::{
            Allocated,
            BadFree, //
        },
        memory,
        pool::RawPool,
        tokens::RawBlock, //
    },
    Options, //
    RawGeometry,
};
use kernel::{
    alloc::Flags,
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

/// What the owner of a block knows of it.
enum Known {
    Block(Allocated<'static>),
    /// Where frees are checked.
    Address(Address),
}

/// A block that its owner writes to.
pub(crate) struct Owned {
    pool: Pool,
    known: Known,
}

impl Owned {
    fn new(pool: Pool, known: Known) -> Self {
        let this = Self { pool, known };

        model::own(this.address().cpu, true);
        this
    }

    pub(crate) fn address(&self) -> Address {
        match &self.known {
            Known::Block(block) => Address {
                cpu: block.as_ptr(),
                dma: block.dma_address(),
            },
            Known::Address(address) => *address,
        }
    }

    /// Nobody owns the block until somebody turns the token back.
    pub(crate) fn let_out(self) -> RawBlock {
        let this = ManuallyDrop::new(self);
        let Known::Block(block) = &this.known else {
            panic!("no tokens where frees are checked");
        };

        model::own(this.address().cpu, false);
        // SAFETY: It is not used again.
        unsafe { this.pool.let_out(block) }.expect("the pool has tokens")
    }

    /// Nobody owns the block until somebody names its address.
    pub(crate) fn let_out_by_address(self) -> DmaAddress {
        let this = ManuallyDrop::new(self);
        let Known::Block(block) = &this.known else {
            panic!("nothing is out where frees are checked");
        };

        model::own(this.address().cpu, false);
        // SAFETY: It is not used again.
        unsafe { this.pool.let_out_by_address(block) }.expect("the pool has addresses")
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
        match &self.known {
            // SAFETY: It is not used again.
            Known::Block(block) => unsafe { block.free() },
            Known::Address(address) => {
                let result = free_at(self.pool, *address);
                assert!(result.is_ok(), "a block cannot be freed: {result:?}");
            }
        }
    }
}

pub(crate) type Blocks = Vec<Owned>;

fn alloc_with(pool: Pool, flags: Flags) -> Option<Owned> {
    let known = if pool.checked {
        let mut dma = 0;
        // SAFETY: It is a variable.
        let cpu = unsafe { pool.raw.alloc_checked(flags, &mut dma) };

        (!cpu.is_null()).then_some(Known::Address(Address { cpu, dma }))
    } else {
        pool.raw.alloc(flags).ok().map(Known::Block)
    };

    Some(Owned::new(pool, known?))
}

/// Allocates a block, if there is one to be had.
pub(crate) fn alloc(pool: Pool) -> Option<Owned> {
    alloc_with(pool, GFP_KERNEL)
}

/// The same by somebody who may not wait.
pub(crate) fn alloc_atomic(pool: Pool) -> Option<Owned> {
    alloc_with(pool, GFP_NOWAIT)
}

/// Takes back the block that is out as `raw`, if there is one.
pub(crate) fn take_back(pool: Pool, raw: RawBlock) -> Option<Owned> {
    let block = pool.raw.take_back(raw)?;

    Some(Owned::new(pool, Known::Block(block)))
}

/// Takes back the block that is out at `dma`, if there is one.
pub(crate) fn take_back_at(pool: Pool, dma: DmaAddress) -> Option<Owned> {
    let block = pool.raw.take_back_at(dma)?;

    Some(Owned::new(pool, Known::Block(block)))
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
    /// Pages in a slab, if not more would have too few blocks.
    pub(crate) pages: u32,
    /// Whether blocks are freed by their addresses.
    pub(crate) checked: bool,
    /// Whether all CPUs share what they work on.
    pub(crate) shared: bool,
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
        pages: 1,
        checked: false,
        shared: false,
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
            pages,
            checked,
            shared,
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
            let size = PAGE_SIZE / blocks;
            let geometry = RawGeometry::check(size, 0, 0).unwrap();
            let options = Options {
                checked_frees: checked,
                ..options
            };
            let pool = RawPool::new(Device::ONLY, c"loom", geometry, options);
            let mut pool = pool.unwrap();
            pool.layout.limit_pages(pages);
            if shared {
                pool.cpus.share_one();
            }
            let pool = KBox::into_raw(KBox::new(pool, GFP_KERNEL).unwrap());

            // SAFETY: The pool lives until the end of the execution, below.
            let raw = unsafe { &*pool };
            // SAFETY: It does not leave its box.
            unsafe { raw.start() }.unwrap();
            self.once(Pool { raw, checked });
            // SAFETY: Nobody uses it any more.
            drop(unsafe { KBox::from_raw(pool) });
            assert!(model::dma_live() == 0 && memory::pages_held() == 0);
        });
        println!("{name}: {count} executions, {:.1?}", start.elapsed());
    }

    fn leave_out_counters(&self, pool: Pool) {
        let count = || {
            pool.statistics();
            memory::pages_held();
            for cpu in pool.cpus.iter() {
                cpu.flip();
                cpu.is_poor();
                cpu.claim_spare_page();
            }
        };
        let find = || {
            pool.count_free();
            pool.reserved();
        };

        model::leave_out_counters(count, find);
        model::leave_out(&pool.pages);
        model::leave_out(&pool.chunk_count);
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
        assert!(pool.unpublished_slabs() == 0, "unpublished slabs");
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
            pool.unpublished_slabs() == 0,
            "unpublished slabs after all blocks were freed"
        );
        let end = pool.statistics();
        assert!(
            end.live == 0 && end.reserved >= end.min_nr as u64,
            "{end:?}"
        );
        // An address map keeps what it has found, and a reserve its pages.
        let mapped = self.checked || pool.by_address.is_some();
        let shrunk = if mapped { 0 } else { now.pages };
        if end.min_nr == 0 {
            assert!(pool.shrink() == shrunk as usize, "cannot be shrunk");
            assert!(mapped || model::dma_live() == 0);
        }
    }
}
