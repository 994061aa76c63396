// SPDX-License-Identifier: GPL-2.0

//! Pools that devres destroys.

use super::support::*;
use crate::{
    raw_pool::pages_held,
    Block,
    Geometry,
    Pool, //
};
use kernel::prelude::*;

const GEOMETRY: Geometry = Geometry::new::<64, 64, 0>();

/// What a driver keeps: the pool lent for as long as the device is bound, and blocks of it.
struct DriverData<'bound> {
    pool: &'bound Pool<'bound>,
    blocks: KVec<Block<'bound>>,
}

impl<'bound> DriverData<'bound> {
    fn new(device: &'bound TestDevice) -> Result<Self> {
        let pool = Pool::new_managed(device.bound(), c"lent", GEOMETRY)?.lend();
        let mut blocks = KVec::new();

        for _ in 0..1000 {
            blocks.push(pool.alloc(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self { pool, blocks })
    }
}

#[kunit_tests(rust_dmapool_managed)]
mod suite {
    use super::*;

    #[test]
    fn destroyed_on_detach() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-detach")?;
        let pool = Pool::<[u8]>::new_managed(device.bound(), c"detach", GEOMETRY)?;

        drop(pool.alloc(GFP_KERNEL)?);
        assert_eq!(pages_held() - held, 1);
        // The handle is not the pool.
        drop(pool);
        assert_eq!(pages_held() - held, 1);
        drop(device);
        assert_eq!(pages_held(), held);
        Ok(())
    }

    #[test]
    fn destroyed_early() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-early")?;
        let early = Pool::<[u8]>::new_managed(device.bound(), c"early", GEOMETRY)?;
        let late = Pool::<u64>::new_managed(device.bound(), c"late", GEOMETRY)?;

        drop(early.alloc(GFP_KERNEL)?);
        drop(late.alloc(GFP_KERNEL)?);
        early.destroy();
        assert_eq!(pages_held() - held, 1);
        drop(device);
        assert_eq!(pages_held(), held);
        Ok(())
    }

    #[test]
    fn lent() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-lent")?;
        let data = DriverData::new(&device)?;

        assert!(holds(data.pool, data.blocks.len()));
        drop(data);
        assert!(pages_held() > held);
        drop(device);
        assert_eq!(pages_held(), held);
        Ok(())
    }

    /// Several pools go in the reverse order of their making, each with its own pages.
    #[test]
    fn many() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-many")?;

        for i in 0..50 {
            let pool = Pool::<[u8]>::new_managed(device.bound(), c"one of many", GEOMETRY)?;

            drop(pool.zalloc(GFP_KERNEL)?);
            if i % 3 == 0 {
                pool.destroy();
            }
        }
        assert_eq!(pages_held() - held, 33);
        drop(device);
        assert_eq!(pages_held(), held);
        Ok(())
    }
}
