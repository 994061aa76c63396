// SPDX-License-Identifier: GPL-2.0

//! How a model is run, and what must hold at the end of each execution.

use crate::{
    geometry::Geometry,
    raw_pool::{
        self,
        RawPool, //
    },
    Block,
    Options, //
};
use kernel::{
    device::Device,
    model::{
        self,
        Settings, //
    },
    page::PAGE_SIZE,
    prelude::*,
};
use std::time::Instant;

/// For as long as an execution.
pub(crate) type Pool = &'static RawPool<'static>;

/// A block that its owner writes to.
pub(crate) struct Owned(Block<'static>);

impl Owned {
    fn new(taken: crate::block::Taken<'static>) -> Self {
        // SAFETY: It is not used again, and a pool lives as long as an execution.
        let block: Block<'static> = unsafe { Block::new(taken) };

        model::own(block.as_ptr().cast(), true);
        Self(block)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // Not when a model has failed: a second panic would hide the first.
        if !std::thread::panicking() {
            model::own(self.0.as_ptr().cast(), false);
        }
    }
}

pub(crate) type Blocks = Vec<Owned>;

/// Allocates a block, if there is one to be had.
pub(crate) fn alloc(pool: Pool) -> Option<Owned> {
    pool.alloc(GFP_KERNEL).ok().map(Owned::new)
}

pub(crate) fn alloc_bulk(pool: Pool, count: usize) -> Blocks {
    let mut blocks = Vec::new();

    // What was had before it failed is good, too.
    let _ = pool.alloc_bulk(count, GFP_KERNEL, |taken| blocks.push(Owned::new(taken)));
    blocks
}

/// What a thread does with the blocks that it has. It returns those it has in the end.
pub(crate) type Body = fn(Pool, Blocks) -> Blocks;

pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// Blocks in a page.
    pub(crate) blocks: usize,
    /// Whether pages are joined when the pool is large enough.
    pub(crate) joins: bool,
    /// How often threads may be interrupted where they could go on; `None` for any number.
    pub(crate) preemptions: Option<usize>,
    /// How many atomic variables the threads use at most.
    pub(crate) atomics: usize,
    /// What comes first, in a thread of its own. It returns the blocks for each thread.
    pub(crate) before: fn(Pool) -> Vec<Blocks>,
    /// The threads, and the CPUs they run on.
    pub(crate) threads: &'static [(u32, Body)],
}

impl Model {
    pub(crate) const DEFAULT: Self = Self {
        name: "",
        blocks: 1,
        joins: false,
        preemptions: None,
        atomics: 64,
        before: |_| Vec::new(),
        threads: &[],
    };

    pub(crate) fn check(&'static self) {
        let &Model {
            name,
            blocks,
            joins,
            ..
        } = self;
        let settings = Settings {
            cpus: 1 + self.threads.iter().map(|(cpu, _)| *cpu).max().unwrap_or(0),
            preemptions: self.preemptions,
            atomics: self.atomics,
        };
        let start = Instant::now();

        let count = model::check(settings, move || {
            // With something left over at their ends, pages are not joined.
            let size = PAGE_SIZE / blocks - usize::from(!joins);
            let geometry = Geometry::check(size, 0, 0).unwrap();
            let pool = RawPool::new(Device::ONLY, c"loom", geometry, Options::new()).unwrap();
            let pool = Box::into_raw(Box::new(pool));

            // SAFETY: The pool lives until the end of the execution, below.
            self.once(unsafe { &*pool });
            // SAFETY: Nobody uses it any more.
            drop(unsafe { Box::from_raw(pool) });
            assert!(model::dma_live() == 0 && raw_pool::pages_held() == 0);
        });
        println!("{name}: {count} executions, {:.1?}", start.elapsed());
    }

    fn once(&self, pool: Pool) {
        let mut blocks = (self.before)(pool);

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

        // Searches find each page that has something.
        assert!(pool.lost_pages() == 0, "lost pages");
        let now = pool.statistics();
        assert!(
            now.live == blocks.len() as u64,
            "{now:?}, {} blocks",
            blocks.len()
        );

        // All that is free can be had, and nothing else.
        model::limit_dma(0);
        while let Some(block) = alloc(pool) {
            blocks.push(block);
        }
        assert!(
            now.capacity == blocks.len() as u64,
            "{now:?}, {} blocks",
            blocks.len()
        );

        drop(blocks);
        assert!(
            pool.lost_pages() == 0,
            "lost pages after all blocks were freed"
        );
        assert!(pool.shrink() == now.pages as usize, "cannot be shrunk");
        assert!(model::dma_live() == 0);
    }
}

/// Nothing is zeroed without being asked to.
#[no_mangle]
extern "C" fn rust_dmapool_want_init_on_alloc() -> bool {
    false
}

#[no_mangle]
extern "C" fn rust_dmapool_want_init_on_free() -> bool {
    false
}

#[no_mangle]
extern "C" fn rust_dmapool_random() -> u32 {
    1
}
