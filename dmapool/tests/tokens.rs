// SPDX-License-Identifier: GPL-2.0

//! Tokens: each is good once, whatever else comes in, and whatever others do meanwhile.

use super::super::{
    Geometry,
    Options,
    Pool,
    RawBlock, //
};
use super::{
    out::*,
    support::*,
    threads::in_threads, //
};
use core::mem;
use kernel::prelude::*;

fn new_pool(device: &TestDevice, geometry: Geometry) -> Result<Pool<'_>> {
    let options = Options::new().tokens();

    Pool::new_with(device.bound(), c"tokens", geometry, options)
}

#[kunit_tests(rust_dmapool_tokens)]
mod suite {
    use super::*;

    #[test]
    fn round_trip() -> Result {
        let device = TestDevice::new(c"dmapool-tokens")?;

        // Several words for a page, also three of them, several pages for a word, and a page for
        // each block.
        for geometry in [
            Geometry::new::<1, 1, 0>(),
            // More words than one, and not a power of two of them.
            Geometry::new::<3, 1, 0>(),
            Geometry::new::<24, 8, 64>(),
            Geometry::new::<16, 16, 0>(),
            Geometry::new::<24, 8, 0>(),
            GEOMETRY,
            Geometry::new::<4096, 4096, 0>(),
        ] {
            let pool = new_pool(&device, geometry)?;
            let mut out = KVec::new();

            for stamp in 0..5000 {
                let block = Stamped::new(pool.alloc(GFP_KERNEL)?, stamp);
                let dma_address = block.dma_address();
                let bits = block.into_block().into_raw()?.into_bits();

                out.push((stamp, dma_address, bits), GFP_KERNEL)?;
            }
            assert!(holds(&pool, 5000));
            for &(stamp, dma_address, bits) in &out {
                let block = Stamped::of(pool.from_raw(RawBlock::from_bits(bits))?, stamp);

                assert!(block.is_intact() && block.dma_address() == dma_address);
                // Not twice, while the block is somebody's.
                assert!(RawBlock::from_bits(bits).is_refused(&pool));
            }
            assert!(holds(&pool, 0));
            // Nor when it is free.
            for &(_, _, bits) in &out {
                assert!(RawBlock::from_bits(bits).is_refused(&pool));
            }
        }
        Ok(())
    }

    /// A token that was turned back is not good for the next time that its block is out, and the
    /// number that follows it not at any time.
    #[test]
    fn replayed() -> Result {
        if !reuses_at_once() {
            return Ok(());
        }
        let device = TestDevice::new(c"dmapool-replayed")?;
        let pool = new_pool(&device, Geometry::new::<4096, 4096, 0>())?;
        let mut old: KVec<RawBlock> = KVec::new();

        for _ in 0..100 {
            let raw = pool.alloc(GFP_KERNEL)?.into_raw()?;

            assert!(old.iter().all(|&old| old.is_refused(&pool)));
            // It was one block all the time.
            assert_eq!(pool.statistics().capacity, 1);
            let block = pool.from_raw(raw)?;
            let next = RawBlock::from_bits(raw.into_bits() + (1 << 32));
            assert!(next.is_refused(&pool));
            drop(block);
            assert!(next.is_refused(&pool));
            old.push(raw, GFP_KERNEL)?;
        }
        Ok(())
    }

    #[test]
    fn of_another_pool() -> Result {
        let device = TestDevice::new(c"dmapool-another")?;
        let mut pools = KVec::new();

        for _ in 0..100 {
            pools.push(new_pool(&device, GEOMETRY)?, GFP_KERNEL)?;
        }
        let mut out = KVec::new();
        for pool in &pools {
            out.push(pool.alloc(GFP_KERNEL)?.into_raw()?, GFP_KERNEL)?;
        }
        for (i, pool) in pools.iter().enumerate() {
            for (j, raw) in out.iter().enumerate() {
                assert!(i == j || raw.is_refused(pool));
            }
        }
        for (pool, raw) in pools.iter().zip(&out) {
            drop(pool.from_raw(*raw)?);
        }
        Ok(())
    }

    #[test]
    fn without_tokens() -> Result {
        let device = TestDevice::new(c"dmapool-no-tokens")?;
        let pool = Pool::<[u8]>::new(device.bound(), c"none", GEOMETRY)?;

        assert_eq!(pool.alloc(GFP_KERNEL)?.into_raw().map(drop), Err(EINVAL));
        // The block is not lost.
        assert!(holds(&pool, 0));
        assert!(RawBlock::from_bits(1 << 32).is_refused(&pool));
        Ok(())
    }

    /// Invented tokens, while the pool gives pages back and gets them again, and while blocks go
    /// out and come back in its threads.
    #[test]
    fn invented() -> Result {
        let device = TestDevice::new(c"dmapool-invented")?;
        let pool = new_pool(&device, GEOMETRY)?;

        in_threads(|thread| match thread {
            0 => {
                for _ in 0..2_000 {
                    pool.prefill(64, GFP_KERNEL)?;
                    pool.shrink();
                }
                Ok(())
            }
            1 => {
                let mut random = Random::new(5);

                for _ in 0..1_000_000 {
                    // Where there are blocks, with any number.
                    let bits = random.next() << 32 | random.below(2000) as u64;

                    ensure!(RawBlock::from_bits(bits).is_refused(&pool));
                }
                Ok(())
            }
            thread => exchange::<RawBlock>(&pool, thread.into()),
        })?;
        assert!(holds(&pool, 0));
        Ok(())
    }

    /// Two threads have the same token: one gets the block.
    #[test]
    fn completed_twice() -> Result {
        let device = TestDevice::new(c"dmapool-twice")?;
        let pool = new_pool(&device, GEOMETRY)?;

        complete_twice::<RawBlock>(&pool)?;
        // These blocks stay for good, and with them the device.
        drop(pool);
        mem::forget(device);
        Ok(())
    }
}
