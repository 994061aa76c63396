// SPDX-License-Identifier: GPL-2.0

//! What a driver has beside each block: its own for each, kept, and ended with the pool.

use super::super::{
    Geometry,
    Options,
    Pool,
    WithState, //
};
use super::{
    support::*,
    threads::in_threads, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Not of a size that is a power of two.
#[derive(Default)]
struct Software {
    number: u64,
    uses: u32,
    odd: [u8; 3],
}

#[derive(Default)]
struct Counted(Option<Arc<()>>);

type Payload = WithState<[u8], Software>;

static MADE: Atomic<u32> = Atomic::new(0);
static ENDED: Atomic<u32> = Atomic::new(0);

/// Of these there are as many as were made and have not ended.
struct Proof;

impl Default for Proof {
    fn default() -> Self {
        MADE.add(1u32, Relaxed);
        Self
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        ENDED.add(1u32, Relaxed);
    }
}

#[kunit_tests(rust_dmapool_state)]
mod suite {
    use super::*;

    /// Each block has its own, also beside counts, several words, twins, and several pages.
    #[test]
    fn each_its_own() -> Result {
        let device = TestDevice::new(c"dmapool-state")?;

        for options in [
            Options::new(),
            Options::new().tokens().addresses(),
            Options::new().min_nr(10),
        ] {
            for geometry in [
                Geometry::<Payload>::new::<1, 1, 0>(),
                Geometry::new::<16, 16, 0>(),
                Geometry::new::<24, 8, 64>(),
                Geometry::new::<256, 256, 0>(),
                Geometry::new::<4096, 4096, 0>(),
            ] {
                let pool = Pool::new_with(device.bound(), c"state", geometry, options)?;
                let mut held = KVec::new();

                for number in 0..3_000 {
                    let mut block = pool.alloc(GFP_KERNEL)?;

                    assert!(block.state().number == 0 && block.state().uses == 0);
                    *block.state_mut() = Software {
                        number,
                        uses: 1,
                        odd: [7; 3],
                    };
                    held.push(block, GFP_KERNEL)?;
                }
                for (block, number) in held.iter().zip(0..) {
                    let state = block.state();

                    assert!(state.number == number && state.uses == 1 && state.odd == [7; 3]);
                }
            }
        }
        Ok(())
    }

    /// What an owner leaves is there for the next one, wherever the block has been.
    #[test]
    fn stays() -> Result {
        if !reuses_at_once() {
            return Ok(());
        }
        let device = TestDevice::new(c"dmapool-state-stays")?;
        let options = Options::new().tokens().addresses();
        let pool = Pool::<WithState<u64, Software>>::new_with(
            device.bound(),
            c"stays",
            Geometry::of(),
            options,
        )?;
        let mut block = pool.alloc(GFP_KERNEL)?;
        let dma = block.dma_address();

        block.state_mut().number = 5;
        let mut block = pool.from_raw(block.into_raw()?)?;
        assert_eq!(block.state().number, 5);
        block.state_mut().number = 6;
        let block = pool.from_address(block.into_address()?)?;
        assert_eq!(block.state().number, 6);
        drop(block);
        // The device's memory is another matter.
        let block = pool.zalloc(GFP_KERNEL)?;
        assert!(block.dma_address() == dma && block.state().number == 6);
        Ok(())
    }

    /// It is the block's by whichever of its bits that is taken.
    #[test]
    fn by_either_bit() -> Result {
        let device = TestDevice::new(c"dmapool-state-bits")?;
        let geometry = Geometry::<Payload>::new::<64, 64, 0>();
        let pool = Pool::new(device.bound(), c"bits", geometry)?;
        let raw = &pool.instance().raw;
        let mut one = pool.alloc(GFP_KERNEL)?;

        one.state_mut().number = 1;
        for cpu in raw.cpus.iter() {
            cpu.use_twins(&raw.layout);
        }
        let mut other = pool.alloc(GFP_KERNEL)?;
        other.state_mut().number = 2;
        assert!(one.state().number == 1 && other.state().number == 2);
        Ok(())
    }

    /// Threads hand blocks to each other, with what is beside them.
    #[test]
    fn threads() -> Result {
        let device = TestDevice::new(c"dmapool-state-threads")?;
        let geometry = Geometry::<Payload>::new::<64, 64, 0>();
        let pool = Pool::new(device.bound(), c"threads", geometry)?;

        in_threads(|thread| {
            for _ in 0..50_000 {
                let mut block = pool.alloc(GFP_KERNEL)?;
                let state = block.state_mut();

                // Two fields that only belong together if nobody else writes.
                ensure!(state.number == u64::from(state.uses));
                state.uses = state.uses.wrapping_add(1 + thread);
                state.number = state.uses.into();
            }
            Ok(())
        })?;
        assert_eq!(pool.statistics().live, 0);
        Ok(())
    }

    /// They end with the pool, those of free blocks too.
    #[test]
    fn ends_with_the_pool() -> Result {
        let device = TestDevice::new(c"dmapool-state-ends")?;
        let shared = Arc::new((), GFP_KERNEL)?;

        for options in [Options::new(), Options::new().min_nr(20)] {
            let geometry = Geometry::of();
            let pool = Pool::<WithState<u64, Counted>>::new_with(
                device.bound(),
                c"ends",
                geometry,
                options,
            )?;
            let mut held = KVec::new();

            for _ in 0..1000 {
                let mut block = pool.alloc(GFP_KERNEL)?;

                block.state_mut().0 = Some(shared.clone());
                held.push(block, GFP_KERNEL)?;
            }
            drop(held);
            // What is left to drop is as much as was put there.
            drop(pool);
        }
        assert!(Arc::into_unique_or_drop(shared).is_some());
        Ok(())
    }

    /// What has no bytes is made all the same: that there is one can mean something.
    #[test]
    fn without_bytes() -> Result {
        let device = TestDevice::new(c"dmapool-state-empty")?;
        let pool = Pool::<WithState<u64, Proof>>::new(device.bound(), c"proofs", Geometry::of())?;
        let block = pool.alloc(GFP_KERNEL)?;

        assert!(MADE.load(Relaxed) > 0);
        drop(block);
        drop(pool);
        assert_eq!(MADE.load(Relaxed), ENDED.load(Relaxed));
        Ok(())
    }
}
