// SPDX-License-Identifier: GPL-2.0

//! Pools that devres destroys.

use super::super::{
    Block,
    Geometry,
    Options,
    Pool, //
};
use super::{
    super::{
        allocator::memory::pages_held,
        api::managed::Owned, //
    },
    support::*, //
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
        let pool = managed_pool(device, c"lent", GEOMETRY, Options::new())?.lend();
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

    #[allow(clippy::drop_non_drop)] // That it does nothing is what is tested.
    #[test]
    fn destroyed_on_detach() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-detach")?;
        let pool = managed_pool::<[u8]>(&device, c"detach", GEOMETRY, Options::new())?;

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
        let early = managed_pool::<[u8]>(&device, c"early", GEOMETRY, Options::new())?;
        let late = managed_pool::<u64>(&device, c"late", Geometry::of(), Options::new())?;

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

    /// Should a bus release devres before it drops the driver's data, the pool stays.
    #[test]
    fn kept_for_the_drivers_data() -> Result {
        let device = TestDevice::new(c"dmapool-kept-for-data")?;
        // Without a block, because the kernel would complain of a device that stays mapped.
        let pool = managed_pool::<[u8]>(&device, c"kept", GEOMETRY, Options::new())?
            .owned
            .cast::<Owned<'static, [u8]>>();

        device.set_data(pool.as_ptr().cast());
        drop(device);
        // SAFETY: The pool is still there, which is what this is about: KASAN would tell.
        assert_eq!(unsafe { pool.as_ref() }.pool.statistics().pages, 0);
        // SAFETY: It is a pool in a box, and nobody else knows of it any more.
        drop(unsafe { KBox::from_raw(pool.as_ptr()) });
        Ok(())
    }

    /// A pool is lent with the blocks that were looked at, or it is gone.
    #[test]
    fn looked_at() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-looked-at")?;
        let good = managed_pool::<[u8]>(&device, c"good", GEOMETRY, Options::new())?;
        let bad = managed_pool::<[u8]>(&device, c"bad", GEOMETRY, Options::new())?;

        let refused = bad.lend_with(|pool| {
            drop(pool.alloc(GFP_KERNEL)?);
            Err(ERANGE)
        });
        assert_eq!(refused.map(drop), Err(ERANGE));
        assert_eq!(pages_held(), held);
        let (pool, blocks) = good.lend_with(|pool| {
            let mut blocks = KVec::new();

            for _ in 0..100 {
                blocks.push(pool.zalloc(GFP_KERNEL)?, GFP_KERNEL)?;
            }
            Ok(blocks)
        })?;
        assert!(blocks.len() == 100 && holds(pool, 100));
        drop(blocks);
        assert!(holds(pool, 0));
        Ok(())
    }

    /// Several pools go in the reverse order of their making, each with its own pages.
    #[test]
    fn many() -> Result {
        let held = pages_held();
        let device = TestDevice::new(c"dmapool-many")?;

        for i in 0..50 {
            let pool = managed_pool::<[u8]>(&device, c"one of many", GEOMETRY, Options::new())?;

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
