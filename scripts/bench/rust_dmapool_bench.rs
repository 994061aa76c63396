// SPDX-License-Identifier: GPL-2.0

//! Measures `mm/dmapool.c` and `rust_dmapool` side by side, when it is loaded.
//!
//! Each workload is one generic function, so that the same code surrounds both pools. Runs
//! alternate between the two. The log has a line for each run; `scripts/bench/report` reads it.

use core::{
    cell::UnsafeCell,
    hint::black_box,
    mem::MaybeUninit,
    ops::Range,
    ptr, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    faux,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Pool, //
};

#[path = "../../dmapool/tests/thread.rs"]
mod thread;
use thread::Thread;

/// What both kinds of pool can do, for the workloads.
trait AnyPool: Sync {
    const NAME: &'static str;

    /// A block that is freed by [`AnyPool::free`] only.
    type Held<'a>: Send
    where
        Self: 'a;

    fn alloc(&self) -> Option<Self::Held<'_>>;
    fn free<'a>(&'a self, held: Self::Held<'a>);
}

// `include/linux/rust_dmapool.h`. What a device consists of is not known to be the same in C.
extern "C" {
    fn rust_dma_pool_create_node(
        name: *const c_char,
        dev: *mut c_void,
        size: usize,
        align: usize,
        boundary: usize,
        node: c_int,
    ) -> *mut bindings::dma_pool;
    fn rust_dma_pool_destroy(pool: *mut bindings::dma_pool);
    fn rust_dma_pool_alloc(
        pool: *mut bindings::dma_pool,
        flags: bindings::gfp_t,
        handle: *mut bindings::dma_addr_t,
    ) -> *mut c_void;
    fn rust_dma_pool_free(pool: *mut bindings::dma_pool, address: *mut c_void, dma: u64);
}

/// A pool as C drivers see it: the kernel's own, or if `OURS` this project's.
struct CPool<const OURS: bool>(*mut bindings::dma_pool);

// SAFETY: C's pools may be used by any number of threads.
unsafe impl<const OURS: bool> Sync for CPool<OURS> {}
// SAFETY: As above.
unsafe impl<const OURS: bool> Send for CPool<OURS> {}

/// What C's `dma_pool_alloc()` returns.
struct CBlock(*mut c_void, u64);

// SAFETY: These are just addresses.
unsafe impl Send for CBlock {}

impl<const OURS: bool> CPool<OURS> {
    fn new(dev: &Device<Bound>, [size, align, boundary]: [usize; 3]) -> Result<Self> {
        let dev = ptr::from_ref(dev).cast_mut();
        let (name, node) = (c"bench".as_char_ptr(), bindings::NUMA_NO_NODE);

        // SAFETY: The device is bound for longer than the pool lives.
        let pool = unsafe {
            if OURS {
                rust_dma_pool_create_node(name, dev.cast(), size, align, boundary, node)
            } else {
                bindings::dma_pool_create_node(name, dev.cast(), size, align, boundary, node)
            }
        };
        if pool.is_null() {
            return Err(ENOMEM);
        }
        Ok(Self(pool))
    }
}

impl<const OURS: bool> Drop for CPool<OURS> {
    fn drop(&mut self) {
        let destroy = if OURS {
            rust_dma_pool_destroy
        } else {
            bindings::dma_pool_destroy
        };

        // SAFETY: The pool exists, and all blocks were freed.
        unsafe { destroy(self.0) };
    }
}

impl<const OURS: bool> AnyPool for CPool<OURS> {
    const NAME: &'static str = if OURS { "rust-c" } else { "c" };
    type Held<'a> = CBlock;

    #[inline(always)]
    fn alloc(&self) -> Option<CBlock> {
        let mut dma = 0;
        // SAFETY: The pool exists.
        let cpu = unsafe {
            if OURS {
                rust_dma_pool_alloc(self.0, bindings::GFP_KERNEL, &mut dma)
            } else {
                bindings::dma_pool_alloc(self.0, bindings::GFP_KERNEL, &mut dma)
            }
        };

        (!cpu.is_null()).then_some(CBlock(cpu, dma))
    }

    #[inline(always)]
    fn free(&self, held: CBlock) {
        // SAFETY: The block comes from this pool, and is not used any more.
        unsafe {
            if OURS {
                rust_dma_pool_free(self.0, held.0, held.1)
            } else {
                bindings::dma_pool_free(self.0, held.0, held.1)
            }
        };
    }
}

/// The pool of this project.
type RustPool<'bound> = Pool<'bound>;

impl<'bound> AnyPool for RustPool<'bound> {
    const NAME: &'static str = "rust";
    type Held<'a>
        = Block<'a>
    where
        Self: 'a;

    #[inline(always)]
    fn alloc(&self) -> Option<Block<'_>> {
        Pool::alloc(self, GFP_KERNEL).ok()
    }

    #[inline(always)]
    fn free<'a>(&'a self, held: Block<'a>) {
        drop(held);
    }
}

fn new_rust_pool<'a>(
    dev: &'a Device<Bound>,
    [size, align, boundary]: [usize; 3],
) -> Result<RustPool<'a>> {
    let geometry = Geometry::check(size, align, boundary)?;

    Pool::new(dev, c"bench", geometry)
}

/// Numbers that look random and are the same in each run; xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}

/// How long `f` takes, in nanoseconds.
fn nanoseconds(f: impl FnOnce() -> Result) -> Result<u64> {
    let start = Instant::<Monotonic>::now();

    f()?;
    Ok(start.elapsed().as_nanos() as u64)
}

/// What is measured, and with what.
#[derive(Clone, Copy)]
struct Workload {
    name: &'static str,
    /// Size, alignment and boundary.
    geometry: [usize; 3],
    /// Blocks that each thread has at once.
    blocks: usize,
    kind: Kind,
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
    /// Hold all, and allocate and free some more, a burst at a time.
    Live,
    /// As `Row`, with a pool for each thread: what the machine has to give.
    Apart,
    /// One thread allocates, another one frees.
    HandOver,
    /// Make a pool, allocate all, free them, destroy the pool.
    Grow,
    /// Allocate all, one by one; only that counts.
    Single,
    /// Allocate all at once; only that counts.
    Bulk,
}

const SMALL: [usize; 3] = [64, 64, 0];
const LARGE: [usize; 3] = [4096, 4096, 0];

/// The first six are those of `mm/dmapool_test.c`.
const WORKLOADS: [Workload; 17] = [
    Workload::new("row-16", [16, 16, 0], 8192, Kind::Row),
    Workload::new("row-64", SMALL, 8192, Kind::Row),
    Workload::new("row-256", [256, 256, 0], 8192, Kind::Row),
    Workload::new("row-1024", [1024, 1024, 0], 2048, Kind::Row),
    Workload::new("row-4096", LARGE, 1024, Kind::Row),
    Workload::new("row-68", [68, 32, 4096], 8192, Kind::Row),
    Workload::new("lifo", SMALL, 1, Kind::Lifo),
    Workload::new("random-free", SMALL, 8192, Kind::Random),
    Workload::new("churn-90", SMALL, 8192, Kind::Churn),
    Workload::new("live-1k", SMALL, 1_000, Kind::Live),
    Workload::new("live-1m", SMALL, 1_000_000, Kind::Live),
    Workload::new("apart-64", SMALL, 8192, Kind::Apart),
    Workload::new("hand-over", SMALL, RING, Kind::HandOver),
    Workload::new("grow-64", SMALL, 8192, Kind::Grow),
    Workload::new("grow-4096", LARGE, 1024, Kind::Grow),
    Workload::new("alloc-single", SMALL, 1024, Kind::Single),
    Workload::new("alloc-bulk", SMALL, 1024, Kind::Bulk),
];

impl Workload {
    const fn new(name: &'static str, geometry: [usize; 3], blocks: usize, kind: Kind) -> Self {
        Self {
            name,
            geometry,
            blocks,
            kind,
        }
    }
}

/// Threads that wait for each other before they begin.
struct Gate {
    threads: u32,
    waiting: Atomic<u32>,
}

impl Gate {
    fn pass(&self) {
        self.waiting.fetch_add(1u32, Release);
        while self.waiting.load(Acquire) < self.threads {
            core::hint::spin_loop();
        }
    }
}

/// The blocks that a thread holds: an array without the cost of knowing which elements are there.
struct Held<H>(KVVec<MaybeUninit<H>>);

impl<H> Held<H> {
    fn new(capacity: usize) -> Result<Self> {
        let mut slots = KVVec::with_capacity(capacity, GFP_KERNEL)?;

        for _ in 0..capacity {
            slots.push(MaybeUninit::uninit(), GFP_KERNEL)?;
        }
        Ok(Self(slots))
    }

    #[inline(always)]
    fn put(&mut self, i: usize, block: H) {
        self.0[i].write(block);
    }

    /// # Safety
    ///
    /// There must be a block in element `i`, which is not taken again.
    #[inline(always)]
    unsafe fn take(&mut self, i: usize) -> H {
        // SAFETY: There is a block in that element.
        unsafe { self.0[i].assume_init_read() }
    }
}

/// Allocates a block for each element of `range`.
#[inline(always)]
fn fill<'a, P: AnyPool>(pool: &'a P, held: &mut Held<P::Held<'a>>, range: Range<usize>) -> Result {
    for i in range {
        held.put(i, pool.alloc().ok_or(ENOMEM)?);
    }
    Ok(())
}

/// Frees the blocks of `range`.
#[inline(always)]
fn free<'a, P: AnyPool>(pool: &'a P, held: &mut Held<P::Held<'a>>, range: Range<usize>) -> Result {
    for i in range {
        // SAFETY: All callers have filled what they free.
        pool.free(unsafe { held.take(i) });
    }
    Ok(())
}

/// Replaces `times` blocks of the first `count` at random.
#[inline(always)]
fn replace<'a, P: AnyPool>(
    pool: &'a P,
    held: &mut Held<P::Held<'a>>,
    random: &mut Random,
    count: usize,
    times: usize,
) -> Result {
    for _ in 0..times {
        let i = random.below(count);

        free(pool, held, i..i + 1)?;
        fill(pool, held, i..i + 1)?;
    }
    Ok(())
}

/// What one thread does: once as a warm-up, then measured. Returns the nanoseconds, and the pairs
/// of one allocation and one free that they were for.
fn work<P: AnyPool>(pool: &P, w: Workload, rounds: usize, gate: &Gate, seed: u64) -> Result<Cost> {
    let mut held = Held::new(w.blocks)?;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let all = 0..w.blocks;
    let once = 8192 * rounds;

    fill(pool, &mut held, all.clone())?;
    match w.kind {
        Kind::Row | Kind::Apart => {
            free(pool, &mut held, all.clone())?;
            gate.pass();
            let time = nanoseconds(|| {
                for _ in 0..rounds {
                    fill(pool, &mut held, all.clone())?;
                    free(pool, &mut held, all.clone())?;
                }
                Ok(())
            })?;
            Ok(Cost::new(time, w.blocks * rounds))
        }
        Kind::Lifo => {
            free(pool, &mut held, all)?;
            gate.pass();
            let time = nanoseconds(|| {
                for _ in 0..once {
                    pool.free(black_box(pool.alloc().ok_or(ENOMEM)?));
                }
                Ok(())
            })?;
            Ok(Cost::new(time, once))
        }
        Kind::Random => {
            let mut time = 0;

            gate.pass();
            for _ in 0..rounds {
                for i in (1..w.blocks).rev() {
                    held.0.swap(i, random.below(i + 1));
                }
                time += nanoseconds(|| {
                    free(pool, &mut held, all.clone())?;
                    fill(pool, &mut held, all.clone())
                })?;
            }
            free(pool, &mut held, all)?;
            Ok(Cost::new(time, w.blocks * rounds))
        }
        Kind::Churn => {
            let count = w.blocks * 9 / 10;

            free(pool, &mut held, count..w.blocks)?;
            replace(pool, &mut held, &mut random, count, once)?;
            gate.pass();
            let time = nanoseconds(|| replace(pool, &mut held, &mut random, count, once))?;
            free(pool, &mut held, 0..count)?;
            Ok(Cost::new(time, once))
        }
        Kind::Live => {
            const BURST: usize = 64;
            let mut more = Held::new(BURST)?;

            fill(pool, &mut more, 0..BURST)?;
            free(pool, &mut more, 0..BURST)?;
            gate.pass();
            let time = nanoseconds(|| {
                for _ in 0..once / BURST {
                    fill(pool, &mut more, 0..BURST)?;
                    free(pool, &mut more, 0..BURST)?;
                }
                Ok(())
            })?;
            free(pool, &mut held, all)?;
            Ok(Cost::new(time, once))
        }
        Kind::Single | Kind::Bulk | Kind::HandOver | Kind::Grow => Err(EINVAL),
    }
}

/// Nanoseconds, and what they were spent on.
#[derive(Clone, Copy)]
struct Cost {
    nanoseconds: u64,
    pairs: u64,
}

impl Cost {
    fn new(nanoseconds: u64, pairs: usize) -> Self {
        Self {
            nanoseconds,
            pairs: pairs as u64,
        }
    }
}

/// Threads that work on the pools in turn. The cost is that of the slowest one, for the pairs of
/// all.
fn in_threads<P: AnyPool>(pools: &[P], w: Workload, rounds: usize, threads: u32) -> Result<Cost> {
    let gate = Gate {
        threads,
        waiting: Atomic::new(0),
    };
    let slowest = Atomic::new(0u64);
    let pairs = Atomic::new(0u64);
    let mut handles = KVec::new();

    for (number, pool) in (0..threads).zip(pools.iter().cycle()) {
        let (gate, slowest, pairs) = (&gate, &slowest, &pairs);

        handles.push(
            Thread::spawn(number, move || {
                let cost = work(pool, w, rounds, gate, u64::from(number) + 1)?;

                pairs.add(cost.pairs, Relaxed);
                let mut before = slowest.load(Relaxed);
                while let Err(now) = slowest.cmpxchg(before, before.max(cost.nanoseconds), Relaxed)
                {
                    before = now;
                }
                Ok(())
            })?,
            GFP_KERNEL,
        )?;
    }
    handles.into_iter().try_for_each(Thread::join)?;
    Ok(Cost {
        nanoseconds: slowest.load(Relaxed),
        pairs: pairs.load(Relaxed),
    })
}

/// Places in the ring of [`hand_over`].
const RING: usize = 1024;

/// One thread allocates, another one frees, with a ring of blocks between them.
fn hand_over<P: AnyPool>(pool: &P, rounds: usize) -> Result<Cost> {
    let ring: KVVec<Slot<P::Held<'_>>> = {
        let mut ring = KVVec::with_capacity(RING, GFP_KERNEL)?;
        for _ in 0..RING {
            ring.push(Slot::new(), GFP_KERNEL)?;
        }
        ring
    };
    let (ring, pairs) = (&ring, 8192 * rounds);
    let gate = &Gate {
        threads: 2,
        waiting: Atomic::new(0),
    };

    let consumer = Thread::spawn(1, move || {
        gate.pass();
        for i in 0..pairs {
            pool.free(ring[i % RING].take());
        }
        Ok(())
    })?;
    let time = Atomic::new(0u64);
    let measured = &time;
    let producer = Thread::spawn(0, move || {
        gate.pass();
        let time = nanoseconds(|| {
            for i in 0..pairs {
                // There is always memory, and an early end would leave the consumer waiting.
                while let Some(block) = pool.alloc() {
                    ring[i % RING].put(block);
                    break;
                }
            }
            Ok(())
        })?;
        measured.store(time, Relaxed);
        Ok(())
    })?;
    producer.join()?;
    consumer.join()?;
    Ok(Cost::new(time.load(Relaxed), pairs))
}

/// A place in the ring.
struct Slot<H> {
    full: Atomic<u32>,
    block: UnsafeCell<MaybeUninit<H>>,
}

// SAFETY: `full` says which of the two threads may access `block`.
unsafe impl<H: Send> Sync for Slot<H> {}

impl<H> Slot<H> {
    fn new() -> Self {
        Self {
            full: Atomic::new(0),
            block: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline(always)]
    fn put(&self, block: H) {
        while self.full.load(Acquire) != 0 {
            core::hint::spin_loop();
        }
        // SAFETY: The slot is empty, so the consumer leaves it alone.
        unsafe { (*self.block.get()).write(block) };
        self.full.store(1, Release);
    }

    #[inline(always)]
    fn take(&self) -> H {
        while self.full.load(Acquire) == 0 {
            core::hint::spin_loop();
        }
        // SAFETY: The slot is full, so the producer leaves it alone.
        let block = unsafe { (*self.block.get()).assume_init_read() };
        self.full.store(0, Release);
        block
    }
}

/// One measurement of `w` on a new pool.
fn measure<P: AnyPool>(
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
        _ if threads == 1 && cfg!(not(CONFIG_SMP)) => {
            let gate = Gate {
                threads: 1,
                waiting: Atomic::new(0),
            };
            work(&new()?, w, rounds, &gate, 1)
        }
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

/// What only this project's pool has: the cost of allocating alone, one by one and in bulk.
fn measure_bulk(pool: &RustPool<'_>, w: Workload, rounds: usize) -> Result<Cost> {
    let mut blocks = KVVec::with_capacity(w.blocks, GFP_KERNEL)?;
    for _ in 0..w.blocks {
        blocks.push(None, GFP_KERNEL)?;
    }
    let mut time = 0;

    // The first round grows the pool and does not count.
    for round in 0..=rounds {
        let this = nanoseconds(|| {
            if w.kind == Kind::Bulk {
                return pool.alloc_bulk(&mut blocks, GFP_KERNEL);
            }
            for block in blocks.iter_mut() {
                *block = Some(Pool::alloc(pool, GFP_KERNEL)?);
            }
            Ok(())
        })?;

        time += if round == 0 { 0 } else { this };
        blocks.iter_mut().for_each(|block| *block = None);
    }
    Ok(Cost::new(time, w.blocks * rounds))
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

/// Runs `w` once, one pool after the other.
fn run(dev: &Device<Bound>, w: Workload, threads: u32) -> Result {
    // The larger ones take fewer rounds to say as much.
    let rounds = module_parameters::rounds.value() as usize;
    let rounds = match w.kind {
        Kind::Grow => rounds.div_ceil(10),
        _ => rounds,
    };

    if matches!(w.kind, Kind::Single | Kind::Bulk) {
        let cost = measure_bulk(&new_rust_pool(dev, w.geometry)?, w, rounds)?;

        report(w, threads, "rust", cost);
        return Ok(());
    }
    measure(|| CPool::<false>::new(dev, w.geometry), w, rounds, threads)?;
    measure(|| new_rust_pool(dev, w.geometry), w, rounds, threads)?;
    // The rows say what the interface for C costs.
    if matches!(w.kind, Kind::Row) {
        measure(|| CPool::<true>::new(dev, w.geometry), w, rounds, threads)?;
    }
    Ok(())
}

/// Whether `w` says something with that many threads.
fn wanted(w: Workload, threads: u32) -> bool {
    match w.kind {
        Kind::HandOver => threads == 2,
        Kind::Grow | Kind::Single | Kind::Bulk => threads == 1,
        // A million blocks for each thread are too many.
        Kind::Live => threads == 1 || w.blocks < 100_000,
        _ => true,
    }
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

/// Bytes of slab memory that are in use, which is where page records come from.
fn slab_bytes() -> i64 {
    let item = bindings::node_stat_item_NR_SLAB_UNRECLAIMABLE_B as usize;

    // SAFETY: The counters are there and atomic, and this one is in bytes or pages.
    let pages = unsafe { (*(&raw const bindings::vm_node_stat[item])).counter };
    pages * kernel::page::PAGE_SIZE as i64
}

/// What a pool of many pages takes besides their memory, for each 4 KiB of it.
fn metadata(dev: &Device<Bound>, size: usize) -> Result {
    const PAGES: usize = 16_384;
    let pool = new_rust_pool(dev, [size, size, 0])?;
    let before = slab_bytes();

    pool.prefill(PAGES * 4096 / size, GFP_KERNEL)?;
    let after = slab_bytes();
    let pages = i64::from(pool.statistics().pages);
    pr_info!("metadata {size} {}\n", (after - before) / pages.max(1));
    Ok(())
}

struct Bench;

impl kernel::Module for Bench {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let registration = faux::Registration::new(c"rust-dmapool-bench", None)?;
        let dev: &faux::Device<Bound> = registration.as_ref();
        let dev: &Device<Bound> = dev.as_ref();
        let raw: *mut bindings::device = ptr::from_ref(dev).cast_mut().cast();

        // SAFETY: Nobody does DMA with this device yet.
        unsafe {
            (*raw).coherent_dma_mask = u64::MAX;
            (*raw).dma_mask = &raw mut (*raw).coherent_dma_mask;
        }

        let most = module_parameters::threads.value();
        for w in WORKLOADS {
            // One number of threads after the other, so that they can be compared even if the
            // machine is slower for a while.
            for _ in 0..module_parameters::runs.value() {
                for threads in [1, 2, 4] {
                    if threads <= most && wanted(w, threads) {
                        run(dev, w, threads)?;
                    }
                }
            }
        }
        worst(CPool::<false>::new(dev, SMALL)?)?;
        worst(new_rust_pool(dev, SMALL)?)?;
        for size in [8, 16, 64, 256, 1024, 4096] {
            metadata(dev, size)?;
        }
        pr_info!("block {}\n", size_of::<Block<'_>>());
        pr_info!("done\n");
        Ok(Bench)
    }
}

module! {
    type: Bench,
    name: "rust_dmapool_bench",
    authors: ["The rust_dmapool authors"],
    description: "Measures DMA pools side by side",
    license: "GPL v2",
    params: {
        runs: u32 {
            default: 7,
            description: "Runs of each workload on each pool",
        },
        rounds: u32 {
            default: 100,
            description: "Rounds of each run",
        },
        threads: u32 {
            default: 1,
            description: "The most threads to run at once: 1, 2 or 4",
        },
    },
}
