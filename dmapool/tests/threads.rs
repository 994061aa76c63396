// SPDX-License-Identifier: GPL-2.0

//! One pool in the hands of several threads, on as many CPUs as there are.
//!
//! Each block is stamped with a number that only its owner knows, and checked when it is freed: had
//! it two owners at once, one of them would find the stamp of the other.

use super::super::{
    Geometry,
    Options,
    Pool, //
};
use super::{
    super::allocator::pool::RawPool,
    interrupt::{
        Context,
        Interrupts, //
    },
    support::*,
    thread::Thread, //
};
use kernel::{
    alloc::Flags,
    bindings,
    cpu::nr_cpu_ids,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    }, //
};

/// As many as there are CPUs, and some at least.
pub(super) fn threads() -> u32 {
    nr_cpu_ids().max(4)
}

/// What each thread does: together about the same, however many there are.
fn rounds() -> usize {
    80_000 / threads() as usize
}

/// Blocks that a thread holds at most.
const MOST: usize = 200;

fn new_pool(device: &TestDevice, geometry: Geometry) -> Result<Pool<'_>> {
    Pool::new(device.bound(), c"threads", geometry)
}

/// Runs `f` in threads number 0 to [`threads()`] at once.
pub(super) fn in_threads<F: Fn(u32) -> Result + Sync>(f: F) -> Result {
    let f = &f;
    let mut spawned = KVec::new();

    for number in 0..threads() {
        spawned.push(
            Thread::spawn(number % nr_cpu_ids(), move || f(number))?,
            GFP_KERNEL,
        )?;
    }
    spawned.into_iter().try_for_each(Thread::join)
}

/// Allocates and frees at random, every block by the one who has allocated it.
struct Churn<'pool> {
    pool: &'pool Pool<'pool>,
    random: Random,
    held: KVec<Stamped<'pool>>,
    /// Different for each owner.
    stamp: u64,
}

impl<'pool> Churn<'pool> {
    fn new(pool: &'pool Pool<'pool>, owner: u32) -> Result<Self> {
        Ok(Self {
            pool,
            random: Random::new(u64::from(owner) + 100),
            held: KVec::with_capacity(MOST, GFP_KERNEL)?,
            stamp: u64::from(owner) << 32,
        })
    }

    fn step(&mut self, flags: &[Flags]) -> Result {
        let held = &mut self.held;
        let random = &mut self.random;

        if held.len() < MOST && (held.is_empty() || random.below(2) == 0) {
            let flags = flags[random.below(flags.len())];
            let Some(block) = alloc_if_possible(self.pool, flags)? else {
                return Ok(());
            };

            // There is room, so this allocates nothing.
            held.push(Stamped::new(block, self.stamp), GFP_ATOMIC)?;
            self.stamp += 1;
        } else {
            ensure!(pop_random(held, random).is_some_and(|block| block.is_intact()));
        }
        Ok(())
    }

    fn is_intact(&self) -> bool {
        self.held.iter().all(Stamped::is_intact)
    }
}

fn churn(pool: &Pool<'_>, thread: u32) -> Result {
    let mut churn = Churn::new(pool, thread)?;

    for _ in 0..rounds() {
        churn.step(&[GFP_KERNEL, GFP_ATOMIC])?;
    }
    ensure!(churn.is_intact());
    Ok(())
}

/// Does the same, while interrupts on the same CPU do so too.
fn churn_interrupted(pool: &Pool<'_>, thread: u32) -> Result {
    const INTERRUPTS: u32 = 40;
    let context = [Context::Hard, Context::Soft][thread as usize / 2 % 2];
    let mut here = Churn::new(pool, thread)?;
    let mut there = Churn::new(pool, thread + threads())?;

    let interrupts = Interrupts::start(context, || {
        for _ in 0..rounds() / 100 {
            there.step(&[GFP_ATOMIC])?;
        }
        Ok(())
    })?;
    while interrupts.runs()? < INTERRUPTS {
        for _ in 0..rounds() / 10 {
            here.step(&[GFP_KERNEL, GFP_ATOMIC])?;
        }
        // SAFETY: Nothing is held.
        unsafe { bindings::schedule() };
    }
    drop(interrupts);
    ensure!(here.is_intact() && there.is_intact());
    Ok(())
}

/// Hands blocks from even threads to odd ones, which free them.
fn hand_over<'pool>(
    pool: &'pool Pool<'_>,
    thread: u32,
    mailbox: &Mutex<KVec<Stamped<'pool>>>,
    produced: &Atomic<u32>,
) -> Result {
    let all = threads() / 2 * rounds() as u32;

    for round in 0..rounds() {
        if thread % 2 == 0 {
            let stamp = u64::from(thread) << 32 | round as u64;
            let block = Stamped::new(pool.alloc(GFP_KERNEL)?, stamp);

            mailbox.lock().push(block, GFP_KERNEL)?;
            produced.add(1u32, Relaxed);
        } else {
            loop {
                let block = mailbox.lock().pop();

                if let Some(block) = block {
                    ensure!(block.is_intact());
                    break;
                }
                if produced.load(Relaxed) == all {
                    break;
                }
                // SAFETY: Nothing is held.
                unsafe { bindings::schedule() };
            }
        }
    }
    Ok(())
}

/// Allocates and frees blocks of a pool without a face.
fn churn_raw(pool: &RawPool<'_>, thread: u32) -> Result {
    let mut held = KVec::with_capacity(MOST, GFP_KERNEL)?;
    let mut random = Random::new(thread.into());

    for round in 0..rounds() {
        if held.len() < MOST && random.below(2) == 0 {
            let block = pool.alloc(GFP_KERNEL)?;
            let stamp = u64::from(thread) << 32 | round as u64;

            // SAFETY: The block has eight bytes.
            unsafe { block.as_ptr().cast::<u64>().write_volatile(stamp) };
            held.push((block, stamp), GFP_ATOMIC)?;
        } else if let Some((block, stamp)) = pop_random(&mut held, &mut random) {
            // SAFETY: As above.
            let found = unsafe { block.as_ptr().cast::<u64>().read_volatile() };

            ensure!(found == stamp);
            // SAFETY: The block is not used after this.
            unsafe { block.free() };
        }
    }
    for (block, _) in held {
        // SAFETY: The block is not used after this.
        unsafe { block.free() };
    }
    Ok(())
}

#[kunit_tests(rust_dmapool_threads)]
mod suite {
    use super::*;

    #[test]
    fn each_its_own() -> Result {
        let device = TestDevice::new(c"dmapool-threads")?;

        for geometry in [
            Geometry::new::<8, 8, 0>(),
            Geometry::new::<64, 64, 0>(),
            Geometry::new::<4096, 4096, 0>(),
        ] {
            let pool = new_pool(&device, geometry)?;

            in_threads(|thread| churn(&pool, thread))?;
            assert!(holds(&pool, 0));
            // Free blocks are found again: no more pages than all threads together could fill, but
            // for one that each CPU works on, and one that each thread may have added in a race.
            let most = (threads() as usize * MOST).div_ceil(geometry.blocks_per_page() as usize);
            let slack = (nr_cpu_ids() + threads()) as usize;
            assert!(pool.statistics().pages as usize <= (most + slack) * 3 / 2);
        }
        Ok(())
    }

    /// A CPU that has few blocks at a time makes do with one page, and what lies free in those of
    /// all CPUs, one of them can have.
    #[test]
    fn none_hoards() -> Result {
        let device = TestDevice::new(c"dmapool-none-hoards")?;
        let pool = new_pool(&device, Geometry::new::<64, 64, 0>())?;

        in_threads(|_| {
            for _ in 0..rounds() {
                pool.alloc(GFP_KERNEL)?;
            }
            Ok(())
        })?;
        // All threads can have seen at once that there is no page yet.
        let pages = pool.statistics().pages;
        assert!(pages <= nr_cpu_ids() + threads());

        in_threads(|thread| churn(&pool, thread))?;
        let capacity = pool.statistics().capacity as usize;
        let mut held = KVec::with_capacity(capacity, GFP_KERNEL)?;
        device.starved(|| -> Result {
            for _ in 0..capacity {
                held.push(pool.alloc(GFP_KERNEL)?, GFP_KERNEL)?;
            }
            Ok(())
        })?;
        assert!(holds(&pool, capacity));
        Ok(())
    }

    /// CPUs that came online late share their hints with others; and slabs are small, so that CPUs
    /// go from one to the next all the time.
    #[test]
    fn sharing_hints() -> Result {
        let device = TestDevice::new(c"dmapool-sharing")?;

        for geometry in [
            Geometry::<[u8]>::new::<8, 8, 0>(),
            Geometry::<[u8]>::new::<256, 256, 0>(),
            Geometry::<[u8]>::new::<4096, 4096, 0>(),
        ] {
            let pool = RawPool::new(device.bound(), c"sharing", *geometry, Options::new())?;
            let mut pool = KBox::new(pool, GFP_KERNEL)?;

            pool.cpus.share_one();
            pool.layout.limit_pages(2);
            // SAFETY: It does not leave its box.
            unsafe { pool.start()? };
            in_threads(|thread| churn_raw(&pool, thread))?;
            assert!(pool.statistics().live == 0 && pool.unpublished_slabs() == 0);
        }
        Ok(())
    }

    /// Threads, soft and hard interrupts, on all CPUs.
    #[test]
    fn in_all_contexts() -> Result {
        let device = TestDevice::new(c"dmapool-contexts")?;

        for geometry in [
            Geometry::new::<64, 64, 0>(),
            Geometry::new::<4096, 4096, 0>(),
        ] {
            let pool = new_pool(&device, geometry)?;

            in_threads(|thread| churn_interrupted(&pool, thread))?;
            assert!(holds(&pool, 0));
        }
        Ok(())
    }

    #[test]
    fn from_one_to_another() -> Result {
        let device = TestDevice::new(c"dmapool-hand-over")?;
        let pool = new_pool(&device, Geometry::new::<64, 64, 0>())?;
        let mailbox = KBox::pin_init(new_mutex!(KVec::new()), GFP_KERNEL)?;
        let produced = Atomic::new(0u32);

        in_threads(|thread| hand_over(&pool, thread, &mailbox, &produced))?;
        assert!(mailbox.lock().iter().all(Stamped::is_intact));
        mailbox.lock().clear();
        assert!(holds(&pool, 0));
        Ok(())
    }

    /// Pages are given back by two threads while others allocate, and each block has one owner.
    #[test]
    fn shrinking_meanwhile() -> Result {
        let device = TestDevice::new(c"dmapool-shrink-meanwhile")?;

        for geometry in [
            Geometry::new::<16, 16, 0>(),
            Geometry::new::<1024, 1024, 0>(),
            Geometry::new::<4096, 4096, 0>(),
        ] {
            let pool = new_pool(&device, geometry)?;

            in_threads(|thread| {
                // Two that shrink, one on each CPU, and two that allocate.
                if thread > 1 {
                    return churn(&pool, thread);
                }
                for _ in 0..rounds() / 10 {
                    pool.shrink();
                }
                Ok(())
            })?;
            assert!(holds(&pool, 0));
            pool.shrink();
            assert_eq!(pool.statistics().pages, 0);
        }
        Ok(())
    }

    /// Threads that all start on an empty pool, so that they grow it at the same time.
    #[test]
    fn growing_at_once() -> Result {
        let device = TestDevice::new(c"dmapool-grow-at-once")?;

        for _ in 0..50 {
            let pool = new_pool(&device, Geometry::new::<2048, 2048, 0>())?;

            in_threads(|thread| {
                let mut held = KVec::with_capacity(300, GFP_KERNEL)?;

                for i in 0..300 {
                    let stamp = u64::from(thread) << 32 | i;
                    held.push(Stamped::new(pool.alloc(GFP_KERNEL)?, stamp), GFP_KERNEL)?;
                }
                ensure!(held.iter().all(Stamped::is_intact));
                Ok(())
            })?;
            assert!(holds(&pool, 0));
        }
        Ok(())
    }
}
