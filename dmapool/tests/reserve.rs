// SPDX-License-Identifier: GPL-2.0

//! The reserve: what allocations that may not wait can count on.

use super::{
    support::*,
    threads::in_threads, //
};
use crate::{
    Geometry,
    Managed,
    Options,
    Pool, //
};
use kernel::{
    alloc::Flags,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

const GEOMETRY: Geometry = Geometry::new::<256, 256, 0>();

const MIN_NR: usize = 100;

fn new_pool(device: &TestDevice) -> Result<Pool<'_>> {
    let options = Options::new().min_nr(MIN_NR);

    Pool::new_with(device.bound(), c"reserve", GEOMETRY, options)
}

/// Allocates with `flags` all blocks that there are without memory from the system.
fn exhaust<'pool>(
    pool: &'pool Pool<'_>,
    device: &TestDevice,
    flags: Flags,
) -> Result<KVec<Stamped<'pool>>> {
    let mut blocks = KVec::with_capacity(1000, GFP_KERNEL)?;

    device.starved(|| {
        while let Ok(block) = pool.alloc(flags | __GFP_NOWARN) {
            blocks.push(Stamped::new(block, blocks.len() as u64), GFP_ATOMIC)?;
        }
        Ok(blocks)
    })
}

fn is_full(pool: &Pool<'_>) -> bool {
    let now = pool.statistics();

    now.reserved == now.min_nr as u64
}

/// Waits for the work item.
fn becomes_full(pool: &Pool<'_>) -> bool {
    (0..1000).any(|_| {
        fsleep(Delta::from_millis(1));
        is_full(pool)
    })
}

#[kunit_tests(rust_dmapool_reserve)]
mod suite {
    use super::*;

    #[test]
    fn kept_for_those_who_cannot_wait() -> Result {
        let device = TestDevice::new(c"dmapool-kept")?;
        let pool = new_pool(&device)?;

        assert!(is_full(&pool) && holds(&pool, 0));
        assert_eq!(pool.statistics().min_nr, MIN_NR);
        let waiting = exhaust(&pool, &device, GFP_KERNEL)?;
        assert!(is_full(&pool) && holds(&pool, waiting.len()));

        let atomic = exhaust(&pool, &device, GFP_ATOMIC)?;
        assert_eq!(atomic.len(), MIN_NR);
        assert_eq!(pool.statistics().reserved, 0);
        assert!(waiting.iter().all(Stamped::is_intact));
        assert!(atomic.iter().all(Stamped::is_intact));
        assert!(holds(&pool, waiting.len() + MIN_NR));

        // What is freed goes there first, whoever frees it.
        let count = waiting.len();
        drop(waiting);
        assert_eq!(pool.statistics().reserved, count as u64);
        assert!(holds(&pool, MIN_NR));
        drop(atomic);
        assert!(is_full(&pool) && holds(&pool, 0));
        Ok(())
    }

    /// The pool does not grow for those who may not wait, while there is a reserve.
    #[test]
    fn taken_before_growing() -> Result {
        let device = TestDevice::new(c"dmapool-before")?;
        let pool = new_pool(&device)?;
        let pages = pool.statistics().pages;
        let free = pool.statistics().capacity as usize - MIN_NR;
        let mut blocks = KVec::new();

        for i in 0..free + MIN_NR {
            blocks.push(Stamped::new(pool.alloc(GFP_ATOMIC)?, i as u64), GFP_KERNEL)?;
        }
        assert_eq!(pool.statistics().pages, pages);
        blocks.push(Stamped::new(pool.alloc(GFP_ATOMIC)?, 0), GFP_KERNEL)?;
        assert!(pool.statistics().pages > pages);
        assert!(blocks.iter().all(Stamped::is_intact));
        Ok(())
    }

    /// Without a work item, who grows the pool and may wait sees to it.
    #[test]
    fn refilled_by_who_may_wait() -> Result {
        let device = TestDevice::new(c"dmapool-refill")?;
        let pool = new_pool(&device)?;
        let _held = exhaust(&pool, &device, GFP_ATOMIC)?;

        assert_eq!(pool.statistics().reserved, 0);
        let block = pool.alloc(GFP_KERNEL)?;
        assert!(is_full(&pool));
        drop(block);
        Ok(())
    }

    #[test]
    fn refilled_by_work() -> Result {
        let device = TestDevice::new(c"dmapool-work")?;
        let options = Options::new().min_nr(MIN_NR);
        let pool: Managed<'_> = managed_pool(&device, c"work", GEOMETRY, options)?;
        let mut held = KVec::new();

        for _ in 0..20 {
            let more = exhaust(&pool, &device, GFP_ATOMIC)?;

            assert!(more.len() >= MIN_NR);
            held.push(more, GFP_KERNEL)?;
            assert!(
                becomes_full(&pool) || {
                    // The device could not be reached when the work ran. It runs again.
                    drop(pool.alloc(GFP_KERNEL)?);
                    becomes_full(&pool)
                }
            );
        }
        assert!(held.iter().flatten().all(Stamped::is_intact));
        drop(held);
        // While the work item may be queued.
        drop(exhaust(&pool, &device, GFP_ATOMIC)?);
        pool.destroy();
        Ok(())
    }

    #[test]
    fn cannot_be_filled() -> Result {
        let device = TestDevice::new(c"dmapool-unfilled")?;
        let result = device.starved(|| new_pool(&device).map(drop));

        assert_eq!(result, Err(ENOMEM));
        for min_nr in [Options::MOST_RESERVED + 1, 1 << 40, usize::MAX] {
            let options = Options::new().min_nr(min_nr);
            let pool = Pool::<[u8]>::new_with(device.bound(), c"large", GEOMETRY, options);

            assert_eq!(pool.map(drop), Err(EINVAL));
        }
        Ok(())
    }

    #[test]
    fn survives_shrink() -> Result {
        let device = TestDevice::new(c"dmapool-reserve-shrink")?;
        let pool = new_pool(&device)?;

        pool.prefill(1000, GFP_KERNEL)?;
        assert!(pool.shrink() > 0);
        assert!(is_full(&pool) && holds(&pool, 0));
        assert_eq!(exhaust(&pool, &device, GFP_ATOMIC)?.len() / MIN_NR, 1);
        Ok(())
    }

    /// Threads that exhaust a small pool: each block has one owner, and none is lost.
    #[test]
    fn in_threads_at_once() -> Result {
        let device = TestDevice::new(c"dmapool-reserve-threads")?;
        let pool = new_pool(&device)?;
        let mut spare = exhaust(&pool, &device, GFP_KERNEL)?;

        spare.truncate(10);
        device.starved(|| {
            in_threads(|thread| {
                let mut random = Random::new(thread.into());
                let mut held = KVec::with_capacity(MIN_NR, GFP_KERNEL)?;

                for i in 0..20_000 {
                    if held.len() < MIN_NR && random.below(2) == 0 {
                        if let Ok(block) = pool.alloc(GFP_ATOMIC | __GFP_NOWARN) {
                            let stamp = u64::from(thread) << 32 | i;

                            held.push(Stamped::new(block, stamp), GFP_ATOMIC)?;
                        }
                    } else {
                        ensure!(held
                            .pop()
                            .is_none_or(|block: Stamped<'_>| block.is_intact()));
                    }
                }
                Ok(())
            })
        })?;
        assert!(spare.iter().all(Stamped::is_intact));
        assert!(holds(&pool, 10));
        drop(spare);
        assert!(is_full(&pool) && holds(&pool, 0));
        Ok(())
    }
}
