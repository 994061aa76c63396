// SPDX-License-Identifier: GPL-2.0

//! The reserve: what allocations that may not wait can count on.

use super::super::{
    Geometry,
    Options,
    Pool, //
};
use super::{
    support::*,
    threads::in_threads, //
};
use kernel::{
    alloc::Flags,
    prelude::*, //
};

const GEOMETRY: Geometry = Geometry::new::<256, 256, 0>();

const MIN_NR: usize = 100;

/// What there is in the reserve when it is full: the blocks of whole pages.
const RESERVED: usize = MIN_NR.next_multiple_of(GEOMETRY.raw().blocks_per_page() as usize);

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
    pool.statistics().reserved == RESERVED as u64
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
        pool.prefill(50, GFP_KERNEL)?;
        let waiting = exhaust(&pool, &device, GFP_KERNEL)?;
        assert!(waiting.len() >= 50);
        assert!(is_full(&pool) && holds(&pool, waiting.len()));

        let atomic = exhaust(&pool, &device, GFP_ATOMIC)?;
        assert_eq!(atomic.len(), RESERVED);
        assert_eq!(pool.statistics().reserved, 0);
        assert!(waiting.iter().all(Stamped::is_intact));
        assert!(atomic.iter().all(Stamped::is_intact));
        assert!(holds(&pool, waiting.len() + RESERVED));

        // What is freed goes to where it came from.
        drop(waiting);
        assert_eq!(pool.statistics().reserved, 0);
        assert!(holds(&pool, RESERVED));
        drop(atomic);
        assert!(is_full(&pool) && holds(&pool, 0));
        Ok(())
    }

    /// The pages of the reserve are whole ones, whatever is asked for, and it has not less.
    #[test]
    fn of_whole_pages() -> Result {
        let device = TestDevice::new(c"dmapool-whole")?;
        let large = Geometry::new::<8192, 8192, 0>();
        let small = Geometry::new::<16, 16, 0>();

        for (geometry, counts) in [(large, [1, 16, 17, 40]), (small, [1, 256, 257, 1000])] {
            for min_nr in counts {
                let options = Options::new().min_nr(min_nr);
                let pool = Pool::new_with(device.bound(), c"whole", geometry, options)?;
                let reserved = min_nr.next_multiple_of(geometry.blocks_per_page() as usize);
                let before = pool.statistics();

                assert_eq!((before.min_nr, before.live), (min_nr, 0));
                assert_eq!(before.reserved, reserved as u64);
                assert_eq!(before.capacity, reserved as u64);
                assert_eq!(exhaust(&pool, &device, GFP_KERNEL)?.len(), 0);
                assert_eq!(exhaust(&pool, &device, GFP_ATOMIC)?.len(), reserved);
                assert_eq!(pool.statistics().reserved, reserved as u64);
            }
        }
        Ok(())
    }

    /// Blocks of the reserve are none of those that are prefilled, nor taken for missing ones.
    #[test]
    fn is_beside_what_is_prefilled() -> Result {
        let device = TestDevice::new(c"dmapool-reserve-prefill")?;
        let pool = new_pool(&device)?;
        let pages = pool.statistics().pages;
        let count = 10 * GEOMETRY.raw().blocks_per_page() as usize;

        // No more than is missing, and nothing if nothing is.
        for _ in 0..2 {
            pool.prefill(count, GFP_KERNEL)?;
            assert_eq!(pool.statistics().pages, pages + 10);
        }
        let blocks = device.starved(|| {
            (0..count).try_fold(KVec::new(), |mut blocks, _| {
                blocks.push(pool.alloc(GFP_KERNEL | __GFP_NOWARN)?, GFP_KERNEL)?;
                Ok::<_, Error>(blocks)
            })
        })?;
        assert!(is_full(&pool));
        drop(blocks);
        Ok(())
    }

    /// The pool does not grow for those who may not wait, while there is a reserve.
    #[test]
    fn taken_before_growing() -> Result {
        let device = TestDevice::new(c"dmapool-before")?;
        let pool = new_pool(&device)?;
        let mut blocks = KVec::new();

        pool.prefill(50, GFP_KERNEL)?;
        let before = pool.statistics();
        for stamp in 0..before.capacity {
            blocks.push(Stamped::new(pool.alloc(GFP_ATOMIC)?, stamp), GFP_KERNEL)?;
        }
        assert_eq!(pool.statistics().pages, before.pages);
        assert_eq!(pool.statistics().reserved, 0);
        blocks.push(Stamped::new(pool.alloc(GFP_ATOMIC)?, 0), GFP_KERNEL)?;
        assert!(pool.statistics().pages > before.pages);
        assert!(blocks.iter().all(Stamped::is_intact));
        Ok(())
    }

    /// A block of the reserve that is freed is there for the next one who may not wait, and for
    /// nobody else, whether the rest of the pool is in use or grows.
    #[test]
    fn comes_home() -> Result {
        let device = TestDevice::new(c"dmapool-home")?;
        let pool = new_pool(&device)?;
        let mut out = exhaust(&pool, &device, GFP_ATOMIC)?;
        let mut random = Random::new(6);
        let mut held = KVec::new();

        for _ in 0..50 {
            let count = 1 + random.below(out.len());

            for _ in 0..count {
                ensure!(pop_random(&mut out, &mut random).is_some_and(|block| block.is_intact()));
            }
            assert_eq!(pool.statistics().reserved, count as u64);
            let result = device.starved(|| pool.alloc(GFP_KERNEL | __GFP_NOWARN).map(drop));
            assert_eq!(result, Err(ENOMEM));
            // So many that the pool has to grow, and that all of its blocks are in use.
            for _ in 0..GEOMETRY.raw().blocks_per_page() {
                held.push(Stamped::new(pool.alloc(GFP_KERNEL)?, 7), GFP_KERNEL)?;
            }
            for block in exhaust(&pool, &device, GFP_KERNEL)? {
                held.push(block, GFP_KERNEL)?;
            }
            assert_eq!(pool.statistics().reserved, count as u64);
            for block in exhaust(&pool, &device, GFP_ATOMIC)? {
                out.push(block, GFP_KERNEL)?;
            }
            assert_eq!(out.len(), RESERVED);
            assert_eq!(pool.statistics().reserved, 0);
        }
        assert!(held.iter().all(Stamped::is_intact));
        drop((held, out));
        assert!(is_full(&pool) && holds(&pool, 0));
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
        assert_eq!(pool.shrink(), 0);
        assert!(is_full(&pool) && holds(&pool, 0));
        assert_eq!(exhaust(&pool, &device, GFP_ATOMIC)?.len(), RESERVED);
        Ok(())
    }

    /// Threads that exhaust a small pool: each block has one owner, and none is lost.
    #[test]
    fn in_threads_at_once() -> Result {
        let device = TestDevice::new(c"dmapool-reserve-threads")?;
        let pool = new_pool(&device)?;

        pool.prefill(50, GFP_KERNEL)?;
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
