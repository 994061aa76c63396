// SPDX-License-Identifier: GPL-2.0

//! Blocks that are out by their DMA addresses: each comes back once, whatever a device names.

use super::super::{
    Geometry,
    Options,
    Pool, //
};
use super::{
    out::*,
    support::*,
    threads::in_threads, //
};
use core::mem;
use kernel::{
    dma::DmaAddress,
    prelude::*, //
};

fn new_pool(device: &TestDevice, geometry: Geometry) -> Result<Pool<'_>> {
    let options = Options::new().addresses();

    Pool::new_with(device.bound(), c"addresses", geometry, options)
}

#[kunit_tests(rust_dmapool_addresses)]
mod suite {
    use super::*;

    #[test]
    fn round_trip() -> Result {
        let device = TestDevice::new(c"dmapool-addresses")?;

        // Several words for a page, several pages for a word, gaps, and pages of the system's two.
        for geometry in [
            Geometry::new::<1, 1, 0>(),
            Geometry::new::<24, 8, 64>(),
            Geometry::new::<24, 8, 0>(),
            GEOMETRY,
            Geometry::new::<4096, 4096, 0>(),
            Geometry::new::<6000, 16, 0>(),
        ] {
            let pool = new_pool(&device, geometry)?;
            let mut out = KVec::new();

            for stamp in 0..2000 {
                let block = Stamped::new(pool.alloc(GFP_KERNEL)?, stamp);
                let dma = block.dma_address();

                // Nobody can take it who only knows where it is.
                assert!(dma.is_refused(&pool));
                assert_eq!(block.into_block().into_address()?, dma);
                out.push((stamp, dma), GFP_KERNEL)?;
            }
            assert!(holds(&pool, 2000));
            for &(stamp, dma) in &out {
                // Not where no block begins.
                let inside = dma + geometry.size() as DmaAddress / 2;
                assert!(inside == dma || inside.is_refused(&pool));
                let block = Stamped::of(pool.from_address(dma)?, stamp);

                assert!(block.is_intact() && block.dma_address() == dma);
                // Not twice, while the block is somebody's.
                assert!(dma.is_refused(&pool));
            }
            assert!(holds(&pool, 0));
            // Nor when it is free.
            assert!(out.iter().all(|&(_, dma)| dma.is_refused(&pool)));
        }
        Ok(())
    }

    #[test]
    fn of_another_pool() -> Result {
        let device = TestDevice::new(c"dmapool-not-here")?;
        let here = new_pool(&device, GEOMETRY)?;
        let there = new_pool(&device, GEOMETRY)?;
        let dma = there.alloc(GFP_KERNEL)?.into_address()?;

        drop(here.alloc(GFP_KERNEL)?);
        for wrong in [dma, 0, 1, DmaAddress::MAX, dma ^ 1 << 63] {
            assert!(wrong.is_refused(&here));
        }
        drop(there.from_address(dma)?);
        Ok(())
    }

    #[test]
    fn without_addresses() -> Result {
        let device = TestDevice::new(c"dmapool-no-address")?;
        let options = Options::new().tokens();
        let pool = Pool::<[u8]>::new_with(device.bound(), c"none", GEOMETRY, options)?;
        let block = pool.alloc(GFP_KERNEL)?;
        let dma = block.dma_address();

        assert_eq!(block.into_address(), Err(EINVAL));
        // The block is not lost.
        assert!(holds(&pool, 0));
        assert!(dma.is_refused(&pool));
        let pool = new_pool(&device, GEOMETRY)?;
        assert_eq!(pool.alloc(GFP_KERNEL)?.into_raw().map(drop), Err(EINVAL));
        assert!(holds(&pool, 0));
        Ok(())
    }

    /// A block that is out is out under both of its names.
    #[test]
    fn tokens_too() -> Result {
        let device = TestDevice::new(c"dmapool-both")?;
        let options = Options::new().tokens().addresses();
        let pool = Pool::<[u8]>::new_with(device.bound(), c"both", GEOMETRY, options)?;

        for _ in 0..100 {
            let block = pool.alloc(GFP_KERNEL)?;
            let dma = block.dma_address();
            let raw = block.into_raw()?;

            drop(pool.from_address(dma)?);
            assert_eq!(pool.from_raw(raw).map(drop), Err(EINVAL));
            drop(pool.from_raw(pool.alloc(GFP_KERNEL)?.into_raw()?)?);
        }
        assert!(holds(&pool, 0));
        Ok(())
    }

    /// Pages stay where they are: others may be looking at them.
    #[test]
    fn shrink() -> Result {
        let device = TestDevice::new(c"dmapool-mapped")?;
        let pool = new_pool(&device, GEOMETRY)?;
        let dma = pool.alloc(GFP_KERNEL)?.into_address()?;

        drop(pool.from_address(dma)?);
        assert_eq!(pool.shrink(), 0);
        assert!(dma.is_refused(&pool));
        Ok(())
    }

    /// Addresses that nobody has let out, while the pool grows and others exchange theirs.
    #[test]
    fn invented() -> Result {
        let device = TestDevice::new(c"dmapool-guessed")?;
        let pool = new_pool(&device, GEOMETRY)?;
        // Its page and those around it.
        let held = pool.alloc(GFP_KERNEL)?;
        let around = held.dma_address() & !0xfffff;

        in_threads(|thread| match thread {
            0 => {
                let mut random = Random::new(5);

                for _ in 0..1_000_000 {
                    // Off the beginning of each block.
                    let dma = around + random.below(1 << 20) as DmaAddress | 1;

                    ensure!(dma.is_refused(&pool));
                    ensure!(held.dma_address().is_refused(&pool));
                }
                Ok(())
            }
            thread => exchange::<DmaAddress>(&pool, thread.into()),
        })?;
        drop(held);
        assert!(holds(&pool, 0));
        Ok(())
    }

    /// Two threads are told the same address: one gets the block.
    #[test]
    fn completed_twice() -> Result {
        let device = TestDevice::new(c"dmapool-address-twice")?;
        let pool = new_pool(&device, GEOMETRY)?;

        complete_twice::<DmaAddress>(&pool)?;
        // These blocks stay for good, and with them the device.
        drop(pool);
        mem::forget(device);
        Ok(())
    }
}
