// SPDX-License-Identifier: GPL-2.0

//! Random operations on a pool, against a model that is too plain to be wrong: the list of the
//! blocks that are held.

use super::super::{
    Geometry,
    Options,
    Pool,
    RawBlock, //
};
use super::{
    geometry::random_geometry,
    interrupt::{
        Context,
        Interrupts, //
    },
    support::*, //
};
use kernel::{
    alloc::Flags,
    interrupt::local_interrupt_disable,
    prelude::*, //
};

const OPERATIONS: u64 = 1_000_000;

/// Operations of a part of the soak test; `scripts/soak` knows it too.
const SOAK_OPERATIONS: u64 = 20_000_000;

/// By which neighbouring parts get seeds that are far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Blocks held at most; the number drifts between none and this.
const MOST: usize = 3000;

/// A pool, and what should be in it.
struct Model<'pool> {
    pool: &'pool Pool<'pool>,
    random: Random,
    held: KVec<Stamped<'pool>>,
    peak: usize,
    filling: bool,
    operations: u64,
    /// Whether nobody else uses the pool, so that its statistics are known.
    alone: bool,
}

impl<'pool> Model<'pool> {
    fn new(pool: &'pool Pool<'pool>, seed: u64) -> Result<Self> {
        Ok(Self {
            pool,
            random: Random::new(seed),
            held: KVec::with_capacity(MOST, GFP_KERNEL)?,
            peak: 0,
            filling: true,
            operations: 0,
            alone: true,
        })
    }

    /// Any context that all of `flags` allow.
    fn run(&mut self, operations: u64, flags: &[Flags]) -> Result {
        for _ in 0..operations {
            self.step(flags)?;
        }
        Ok(())
    }

    fn step(&mut self, flags: &[Flags]) -> Result {
        let (pool, held, random) = (self.pool, &mut self.held, &mut self.random);
        // Seven of ten operations go the way the tide goes.
        let alloc = self.filling == (random.below(10) < 7);
        if held.len() == MOST {
            self.filling = false;
        } else if held.is_empty() {
            self.filling = true;
        }

        if (alloc && held.len() < MOST) || held.is_empty() {
            let flags = flags[random.below(flags.len())];
            let Some(mut block) = alloc_if_possible(pool, flags)? else {
                self.filling = false;
                return Ok(());
            };

            if random.below(8) == 0 {
                let bits = block.into_raw()?.into_bits();
                block = pool.from_raw(RawBlock::from_bits(bits))?;
            }
            // There is room, so this allocates nothing.
            held.push(Stamped::new(block, self.operations), GFP_ATOMIC)?;
        } else {
            // Had the block a second owner, or been moved, then its stamp would be gone.
            ensure!(pop_random(held, random).is_some_and(|block| block.is_intact()));
        }

        self.peak = self.peak.max(held.len());
        if self.alone && self.operations % 4096 == 0 {
            let now = pool.statistics();
            let needed = self
                .peak
                .div_ceil(pool.geometry().blocks_per_page() as usize);

            ensure!(now.live == held.len() as u64);
            ensure!(may_have(needed).contains(&(now.pages as usize)));
        }
        self.operations += 1;
        Ok(())
    }

    /// Runs in a thread until an interrupt has come, in which `other` runs. Returns how many
    /// operations that made.
    fn run_interrupted(&mut self, other: &mut Self, context: Context) -> Result<u64> {
        let before = self.operations + other.operations;

        (self.alone, other.alone) = (false, false);
        let interrupts = Interrupts::start(context, || other.run(1000, &PROCESS[1..]))?;
        while interrupts.runs()? == 0 {
            self.run(1000, &PROCESS)?;
        }
        drop(interrupts);
        ensure!(holds(self.pool, self.held.len() + other.held.len()));
        Ok(self.operations + other.operations - before)
    }

    fn finish(self) -> Result {
        ensure!(self.held.iter().all(Stamped::is_intact));
        drop(self.held);
        ensure!(holds(self.pool, 0));
        Ok(())
    }
}

const PROCESS: [Flags; 3] = [GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT];

/// Pools of random geometries, used at random in all contexts, until that makes so many operations.
fn soak(device: &TestDevice, operations: u64, mut random: Random) -> Result {
    let mut left = operations;

    while left > 0 {
        let mut todo = left.min(1 + random.below(1 << 20) as u64);
        let [size, align, boundary] = random_geometry(&mut random);
        let geometry = Geometry::check(size, align, boundary)?;
        let init = Pool::new_with(device.bound(), c"soak", geometry, Options::new().tokens());
        let pool = init?;
        let mut model = Model::new(&pool, random.next())?;
        let mut other = Model::new(&pool, random.next())?;

        left -= todo;
        while todo > 0 {
            let batch = todo.min(1 + random.below(1 << 16) as u64);

            let done = match random.below(16) {
                0 => model.run_interrupted(&mut other, Context::Hard),
                1 => model.run_interrupted(&mut other, Context::Soft),
                2 => {
                    let _irqs = local_interrupt_disable();
                    model.run(batch, &PROCESS[1..]).map(|()| batch)
                }
                _ => model.run(batch, &PROCESS).map(|()| batch),
            }
            .inspect_err(|_| pr_err!("geometry {:?}\n", [size, align, boundary]))?;
            todo = todo.saturating_sub(done);
        }
        ensure!(other.held.iter().all(Stamped::is_intact));
        drop(other);
        model.finish()?;
    }
    Ok(())
}

// `dmapool/sys/helpers.c`
extern "C" {
    static rust_dmapool_soak: c_ulong;
}

#[kunit_tests(rust_dmapool_model)]
mod suite {
    use super::*;

    #[test]
    fn a_million_operations() -> Result {
        let device = TestDevice::new(c"dmapool-model")?;
        let geometries = [
            Geometry::new::<8, 8, 0>(),
            Geometry::new::<16, 16, 0>(),
            Geometry::new::<68, 32, 4096>(),
            Geometry::new::<96, 32, 256>(),
            Geometry::new::<4096, 4096, 0>(),
        ];

        for (seed, geometry) in geometries.into_iter().enumerate() {
            let init = Pool::new_with(device.bound(), c"model", geometry, Options::new().tokens());
            let pool = init?;

            let mut model = Model::new(&pool, seed as u64)?;
            model.run(OPERATIONS / 5, &PROCESS)?;
            model.finish()?;
        }
        Ok(())
    }

    /// The part of the soak test that the module's parameter names, or a small one.
    #[test]
    fn soak() -> Result {
        let device = TestDevice::new(c"dmapool-soak")?;
        // SAFETY: It does not change while the module is loaded.
        let part = unsafe { rust_dmapool_soak } as u64;
        let operations = if part == 0 { 200_000 } else { SOAK_OPERATIONS };

        super::soak(&device, operations, Random::new(part.wrapping_mul(SPREAD)))
    }
}
