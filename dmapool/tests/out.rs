// SPDX-License-Identifier: GPL-2.0

//! What the suites of tokens and of addresses share: both are names under which a block is out.

use super::super::{
    Block,
    Geometry,
    Pool,
    RawBlock, //
};
use super::{
    support::*,
    threads::in_threads, //
};
use core::{
    fmt::Debug,
    mem, //
};
use kernel::{
    dma::DmaAddress,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

pub(super) const GEOMETRY: Geometry = Geometry::new::<256, 256, 0>();

pub(super) trait Name: Copy + Debug + PartialEq + Send + Sync {
    /// Lets `block` out.
    fn of(block: Block<'_>) -> Result<Self>;

    fn take_back<'a>(self, pool: &'a Pool<'_>) -> Result<Block<'a>>;

    fn is_refused(self, pool: &Pool<'_>) -> bool {
        self.take_back(pool).map(drop) == Err(EINVAL)
    }
}

impl Name for RawBlock {
    fn of(block: Block<'_>) -> Result<Self> {
        block.into_raw()
    }

    fn take_back<'a>(self, pool: &'a Pool<'_>) -> Result<Block<'a>> {
        pool.from_raw(self)
    }
}

impl Name for DmaAddress {
    fn of(block: Block<'_>) -> Result<Self> {
        block.into_address()
    }

    fn take_back<'a>(self, pool: &'a Pool<'_>) -> Result<Block<'a>> {
        pool.from_address(self)
    }
}

/// Lets blocks out and takes them back, by the thread's own names.
pub(super) fn exchange<N: Name>(pool: &Pool<'_>, stamp: u64) -> Result {
    let mut random = Random::new(stamp + 7);
    let mut out = KVec::new();

    for i in 0..20_000 {
        if out.len() < 50 && random.below(2) == 0 {
            let block = Stamped::new(pool.alloc(GFP_KERNEL)?, stamp << 32 | i);

            out.push((stamp << 32 | i, N::of(block.into_block())?), GFP_KERNEL)?;
        } else if let Some((stamp, name)) = out.pop() {
            ensure!(Stamped::of(name.take_back(pool)?, stamp).is_intact());
        }
    }
    for (stamp, name) in out {
        ensure!(Stamped::of(name.take_back(pool)?, stamp).is_intact());
    }
    Ok(())
}

/// Two threads are told the same names: one of them gets each block.
pub(super) fn complete_twice<N: Name>(pool: &Pool<'_>) -> Result {
    let rounds = 10_000;
    let mut out = KVec::new();

    for _ in 0..rounds {
        out.push(N::of(pool.alloc(GFP_KERNEL)?)?, GFP_KERNEL)?;
    }
    let returned = Atomic::new(0u32);
    in_threads(|_| {
        for name in &out {
            if let Ok(block) = name.take_back(pool) {
                // Not freed yet, so that it cannot be out again.
                mem::forget(block);
                returned.add(1u32, Relaxed);
            }
        }
        Ok(())
    })?;
    ensure!(returned.load(Relaxed) == rounds);
    ensure!(holds(pool, rounds as usize));
    Ok(())
}
