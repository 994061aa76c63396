// SPDX-License-Identifier: GPL-2.0

//! Pools for whoever outlives the device: what they can do before and after it is unbound, and that
//! unbinding waits.

use super::super::{
    Geometry,
    HeldBlock,
    Options,
    Pool,
    RevocablePool,
    WithState, //
};
use super::{
    super::allocator::memory::pages_held,
    support::*,
    thread::Thread, //
};
use core::mem;
use kernel::{
    cpu::nr_cpu_ids,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

type Payload = WithState<u64, u32>;

fn new_pool(device: &TestDevice, options: Options) -> Result<Arc<RevocablePool<Payload>>> {
    Pool::new_revocable(device.core(), c"revocable", Geometry::of(), options)
}

fn is_static<T: Send + Sync + 'static>(what: T) -> T {
    what
}

#[kunit_tests(rust_dmapool_revocable)]
mod suite {
    use super::*;

    #[test]
    fn before_and_after() -> Result {
        let pages = pages_held();
        let device = TestDevice::new(c"dmapool-revocable")?;
        let pool = is_static(new_pool(&device, Options::new().tokens())?);
        let mut held = KVec::new();

        for number in 0..100 {
            let mut block = is_static(pool.zalloc(GFP_KERNEL)?);

            assert_eq!(block.with(|block| *block.state()), Some(0));
            block
                .with_mut(|block| *block.state_mut() = number)
                .ok_or(ENODEV)?;
            held.push(block, GFP_KERNEL)?;
        }
        for (block, number) in held.iter().zip(0..) {
            assert_eq!(block.with(|block| *block.state()), Some(number));
        }
        // Those go back at once; others are forgotten, or out.
        held.truncate(50);
        let raw = pool.with(|pool| {
            mem::forget(pool.alloc(GFP_KERNEL)?);
            pool.alloc(GFP_KERNEL)?.into_raw()
        });
        let raw = raw.ok_or(ENODEV)??;
        assert_eq!(pool.with(|pool| pool.statistics().live), Some(52));

        let another = pool.clone();
        drop(device);
        assert_eq!(pages_held(), pages);
        assert!(pool.with(|_| ()).is_none() && another.with(|_| ()).is_none());
        assert_eq!(pool.alloc(GFP_KERNEL).map(drop), Err(ENODEV));
        assert!(pool.with(|pool| pool.from_raw(raw).map(drop)).is_none());
        for block in &mut held {
            assert!(block.with(|_| ()).is_none() && block.with_mut(|_| ()).is_none());
        }
        drop(pool);
        // The last ones who know of it.
        drop(held);
        drop(another);
        Ok(())
    }

    /// Unbinding waits for whoever is inside, which may sleep.
    #[test]
    fn unbinding_waits() -> Result {
        let device = TestDevice::new(c"dmapool-waits")?;
        let pool = new_pool(&device, Options::new())?;
        let is_inside = Arc::new(Atomic::new(false), GFP_KERNEL)?;
        let has_left = Arc::new(Atomic::new(false), GFP_KERNEL)?;

        let thread = {
            let (is_inside, has_left) = (is_inside.clone(), has_left.clone());

            Thread::spawn(0, move || {
                pool.with(|pool| {
                    let block = pool.zalloc(GFP_KERNEL)?;

                    is_inside.store(true, Release);
                    fsleep(Delta::from_millis(100));
                    // Still there.
                    ensure!(pool.statistics().live == 1 && block.dma_address() != 0);
                    has_left.store(true, Relaxed);
                    Ok(())
                })
                .unwrap_or(Err(ENODEV))
            })?
        };
        while !is_inside.load(Acquire) {
            fsleep(Delta::from_millis(1));
        }
        drop(device);
        assert!(has_left.load(Relaxed));
        thread.join()
    }

    /// Threads come and go, and hold blocks, while the device is unbound.
    #[test]
    fn unbound_meanwhile() -> Result {
        for _ in 0..20 {
            let pages = pages_held();
            let device = TestDevice::new(c"dmapool-meanwhile")?;
            let pool = new_pool(&device, Options::new())?;
            let mut threads = KVec::new();

            for cpu in [0, nr_cpu_ids() - 1] {
                let pool = pool.clone();

                threads.push(
                    Thread::spawn(cpu, move || {
                        let mut held: KVec<HeldBlock<Payload>> = KVec::new();

                        for _ in 0..50_000 {
                            fsleep(Delta::from_micros(100));
                            match pool.zalloc(GFP_KERNEL) {
                                Ok(block) => held.push(block, GFP_KERNEL)?,
                                Err(ENODEV) => return Ok(()),
                                Err(err) => return Err(err),
                            }
                            for block in &held {
                                if block.with(|block| block.dma_address()) == Some(0) {
                                    return Err(EINVAL);
                                }
                            }
                            if held.len() > 20 {
                                held.truncate(5);
                            }
                        }
                        // The pool would have to be gone for long.
                        Err(ETIMEDOUT)
                    })?,
                    GFP_KERNEL,
                )?;
            }
            fsleep(Delta::from_millis(5));
            drop(device);
            assert_eq!(pages_held(), pages);
            threads.into_iter().try_for_each(Thread::join)?;
        }
        Ok(())
    }
}
