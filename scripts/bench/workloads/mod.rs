// SPDX-License-Identifier: GPL-2.0

//! What is measured, and how, for the module in the kernel and for the program in user space.
//!
//! Each workload is one generic function, so that the same code surrounds all pools. Runs alternate
//! between these. The log has a line for each run; `scripts/bench/report` reads it.

pub(crate) mod pools;
mod threads;
mod work;

use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*, //
};
use pools::{
    new_rust_pool,
    AnyPool,
    CPool,
    RustPool, //
};
use threads::{
    hand_over,
    in_threads,
    Gate,
    RING, //
};
use work::{
    fill,
    free,
    nanoseconds,
    work,
    Cost,
    Held, //
};

/// What is measured, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    name: &'static str,
    /// Size, alignment and boundary.
    pub(crate) geometry: [usize; 3],
    /// Blocks that each thread has at once.
    pub(crate) blocks: usize,
    kind: Kind,
    /// Whether whoever allocates asks for zeroes.
    zeroed: bool,
    /// Blocks in the reserve, in a pool that can have one.
    min_nr: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Allocate all blocks and free them in the same order; as `mm/dmapool_test.c`.
    Row,
    /// Allocate one and free it.
    Lifo,
    /// Free all in random order, and allocate all again.
    Random,
    /// Hold nine tenths of what the pool has, free one at random and allocate one.
    Churn,
    /// Hold all, if any, and allocate and free some more, a burst at a time.
    Live,
    /// As `Row`, with a pool for each thread: what the machine has to give.
    Apart,
    /// One thread allocates, another one frees.
    HandOver,
    /// Make a pool, allocate all, free them, destroy the pool.
    Grow,
    /// Make as many pools, and destroy them.
    Make,
}

const SMALL: [usize; 3] = [64, 64, 0];
const LARGE: [usize; 3] = [4096, 4096, 0];

/// The first six are those of `mm/dmapool_test.c`.
const WORKLOADS: [Workload; 21] = [
    Workload::new("row-16", [16, 16, 0], 8192, Kind::Row),
    Workload::new("row-64", SMALL, 8192, Kind::Row),
    Workload::new("row-256", [256, 256, 0], 8192, Kind::Row),
    Workload::new("row-1024", [1024, 1024, 0], 2048, Kind::Row),
    Workload::new("row-4096", LARGE, 1024, Kind::Row),
    Workload::new("row-68", [68, 32, 4096], 8192, Kind::Row),
    Workload::new("gaps-96", [96, 32, 256], 8192, Kind::Row),
    Workload::new("zalloc-64", SMALL, 8192, Kind::Row).zeroed(),
    Workload::new("zalloc-1024", [1024, 1024, 0], 2048, Kind::Row).zeroed(),
    Workload::new("min_nr-4", SMALL, 8192, Kind::Row).reserve(4),
    Workload::new("lifo", SMALL, 1, Kind::Lifo),
    Workload::new("random-free", SMALL, 8192, Kind::Random),
    Workload::new("churn-90", SMALL, 8192, Kind::Churn),
    Workload::new("burst-64", SMALL, 0, Kind::Live),
    Workload::new("live-1k", SMALL, 1_000, Kind::Live),
    Workload::new("live-1m", SMALL, 1_000_000, Kind::Live),
    Workload::new("apart-64", SMALL, 8192, Kind::Apart),
    Workload::new("hand-over", SMALL, RING, Kind::HandOver),
    Workload::new("grow-64", SMALL, 8192, Kind::Grow),
    Workload::new("grow-4096", LARGE, 1024, Kind::Grow),
    Workload::new("make-500", SMALL, 500, Kind::Make),
];

impl Workload {
    const fn new(name: &'static str, geometry: [usize; 3], blocks: usize, kind: Kind) -> Self {
        Self {
            name,
            geometry,
            blocks,
            kind,
            zeroed: false,
            min_nr: 0,
        }
    }

    const fn zeroed(mut self) -> Self {
        self.zeroed = true;
        self
    }

    const fn reserve(mut self, min_nr: usize) -> Self {
        self.min_nr = min_nr;
        self
    }

    /// Whether this says something with that many threads.
    fn wants(self, threads: u32) -> bool {
        match self.kind {
            Kind::HandOver => threads == 2,
            Kind::Grow | Kind::Make => threads == 1,
            // A million blocks for each thread are too many.
            Kind::Live => threads == 1 || self.blocks < 100_000,
            _ => true,
        }
    }
}

/// One measurement of `w` on a new pool.
pub(crate) fn measure<P: AnyPool>(
    new: impl Fn() -> Result<P>,
    w: Workload,
    rounds: usize,
    threads: u32,
) -> Result {
    let cost = match w.kind {
        Kind::HandOver => hand_over(&new()?, rounds),
        Kind::Grow => {
            let mut time = 0;

            for _ in 0..rounds {
                time += nanoseconds(|| {
                    let pool = new()?;
                    let mut held = Held::new(w.blocks)?;

                    fill(&pool, &mut held, 0..w.blocks)?;
                    free(&pool, &mut held, 0..w.blocks)
                })?;
            }
            Ok(Cost::new(time, w.blocks * rounds))
        }
        Kind::Make => {
            let time = nanoseconds(|| {
                for _ in 0..rounds {
                    let mut pools = KVec::with_capacity(w.blocks, GFP_KERNEL)?;

                    for _ in 0..w.blocks {
                        pools.push(new()?, GFP_KERNEL)?;
                    }
                }
                Ok(())
            })?;
            Ok(Cost::new(time, w.blocks * rounds))
        }
        _ if threads == 1 && cfg!(not(CONFIG_SMP)) => work(&new()?, w, rounds, &Gate::new(1), 1),
        Kind::Apart => {
            let mut pools = KVec::new();
            for _ in 0..threads {
                pools.push(new()?, GFP_KERNEL)?;
            }
            in_threads(&pools, w, rounds, threads)
        }
        _ => in_threads(&[new()?], w, rounds, threads),
    }?;

    report(w, threads, P::NAME, cost);
    Ok(())
}

fn report(w: Workload, threads: u32, pool: &str, cost: Cost) {
    // In thousandths, because the kernel has no floating point.
    let each = (cost.nanoseconds * 1000 / cost.pairs.max(1)) as u64;

    pr_info!(
        "run {} {threads} {pool} {}.{:03}\n",
        w.name,
        each / 1000,
        each % 1000
    );
}

/// How much is measured.
pub(crate) struct Extent {
    /// Runs of each workload on each pool.
    pub(crate) runs: u32,
    /// Rounds of each run.
    pub(crate) rounds: u32,
    /// The most threads to run at once.
    pub(crate) threads: u32,
}

/// Runs all workloads. After the pools, `peers` is called for what else can run one.
pub(crate) fn run_all(
    dev: &Device<Bound>,
    extent: &Extent,
    peers: impl Fn(Workload, usize, u32) -> Result,
) -> Result {
    for w in WORKLOADS {
        // The larger ones take fewer rounds to say as much.
        let rounds = match w.kind {
            Kind::Grow | Kind::Make => extent.rounds.div_ceil(10),
            _ => extent.rounds,
        } as usize;

        // One number of threads after the other, so that they can be compared even if the machine
        // is slower for a while.
        for _ in 0..extent.runs {
            for threads in (0..6).map(|power| 1 << power) {
                if threads <= extent.threads && w.wants(threads) {
                    run(dev, w, rounds, threads)?;
                    let is_of_pools = matches!(w.kind, Kind::Grow | Kind::Make);
                    if !is_of_pools && !w.zeroed && w.min_nr == 0 {
                        peers(w, rounds, threads)?;
                    }
                }
            }
        }
    }
    worst(CPool::<false, false>::new(dev, SMALL)?)?;
    worst(RustPool::<false>(new_rust_pool(dev, SMALL, 0)?))
}

/// Runs `w` once, one pool after the other.
fn run(dev: &Device<Bound>, w: Workload, rounds: usize, threads: u32) -> Result {
    if w.zeroed {
        compare::<true>(dev, w, rounds, threads)
    } else {
        compare::<false>(dev, w, rounds, threads)
    }
}

fn compare<const ZERO: bool>(
    dev: &Device<Bound>,
    w: Workload,
    rounds: usize,
    threads: u32,
) -> Result {
    let new_rust = || Ok(RustPool::<ZERO>(new_rust_pool(dev, w.geometry, w.min_nr)?));

    measure(
        || CPool::<false, ZERO>::new(dev, w.geometry),
        w,
        rounds,
        threads,
    )?;
    measure(new_rust, w, rounds, threads)?;
    // These say what the interface for C costs, which has no reserve.
    if matches!(w.kind, Kind::Row | Kind::Lifo | Kind::Make) && w.min_nr == 0 {
        measure(
            || CPool::<true, ZERO>::new(dev, w.geometry),
            w,
            rounds,
            threads,
        )?;
    }
    Ok(())
}

/// The longest that a single allocation took, of many from a pool that grows.
fn worst<P: AnyPool>(pool: P) -> Result {
    const BLOCKS: usize = 100_000;
    let mut held = Held::new(BLOCKS)?;
    let mut worst = 0;

    for i in 0..BLOCKS {
        worst = worst.max(nanoseconds(|| fill(&pool, &mut held, i..i + 1))?);
    }
    free(&pool, &mut held, 0..BLOCKS)?;
    pr_info!("worst {} {worst}\n", P::NAME);
    Ok(())
}
