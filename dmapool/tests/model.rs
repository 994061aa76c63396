// SPDX-License-Identifier: GPL-2.0

//! A million random operations on a pool, against a model that is too plain to be wrong: the list
//! of the blocks that are held.

use super::support::*;
use crate::{
    Geometry,
    Pool,
    RawBlock, //
};
use kernel::prelude::*;

const OPERATIONS: u64 = 1_000_000;

/// Blocks held at most; the number drifts between none and this.
const MOST: usize = 3000;

fn run(pool: &Pool<'_>, operations: u64, seed: u64) -> Result {
    let mut random = Random::new(seed);
    let mut held: KVec<Stamped<'_>> = KVec::new();
    let mut peak = 0;
    let mut filling = true;

    for operation in 0..operations {
        // Seven of ten operations go the way the tide goes.
        let alloc = filling == (random.below(10) < 7);
        if held.len() == MOST {
            filling = false;
        } else if held.is_empty() {
            filling = true;
        }

        if (alloc && held.len() < MOST) || held.is_empty() {
            let flags = [GFP_KERNEL, GFP_ATOMIC, GFP_NOWAIT | __GFP_NOWARN][random.below(3)];
            let mut block = pool.alloc(flags)?;

            if random.below(8) == 0 {
                let bits = block.into_raw().into_bits();
                // SAFETY: It comes from the line above, and is turned back once.
                block = unsafe { pool.from_raw(RawBlock::from_bits(bits)) }?;
            }
            held.push(Stamped::new(block, operation), GFP_KERNEL)?;
        } else {
            let (victim, last) = (random.below(held.len()), held.len() - 1);
            held.swap(victim, last);
            // Had the block a second owner, or been moved, then its stamp would be gone.
            ensure!(held.pop().is_some_and(|block| block.is_intact()));
        }

        peak = peak.max(held.len());
        if operation % 4096 == 0 {
            let now = pool.statistics();
            let needed = peak.div_ceil(pool.geometry().blocks_per_page() as usize);

            ensure!(now.live == held.len() as u64);
            ensure!(may_have(needed).contains(&(now.pages as usize)));
        }
    }
    ensure!(held.iter().all(Stamped::is_intact));
    drop(held);
    ensure!(holds(pool, 0));
    Ok(())
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
            let init = Pool::new(device.bound(), c"model", geometry);
            let pool = KBox::pin_init(init, GFP_KERNEL)?;

            run(&pool, OPERATIONS / 5, seed as u64)?;
        }
        Ok(())
    }
}
