// SPDX-License-Identifier: GPL-2.0

//! What one thread does.

use super::{
    pools::AnyPool,
    threads::Gate,
    Kind,
    Workload, //
};
use core::{
    hint::black_box,
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::{
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// Numbers that look random and are the same in each run; xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}

/// How long `f` takes, in nanoseconds.
pub(crate) fn nanoseconds(f: impl FnOnce() -> Result) -> Result<u64> {
    let start = Instant::<Monotonic>::now();

    f()?;
    Ok(start.elapsed().as_nanos() as u64)
}

/// Nanoseconds, and what they were spent on.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) nanoseconds: u64,
    pub(crate) pairs: u64,
}

impl Cost {
    pub(crate) fn new(nanoseconds: u64, pairs: usize) -> Self {
        Self {
            nanoseconds,
            pairs: pairs as u64,
        }
    }
}

/// The blocks that a thread holds: an array without the cost of knowing which elements are there.
pub(crate) struct Held<H>(KVVec<MaybeUninit<H>>);

impl<H> Held<H> {
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        let mut slots = KVVec::with_capacity(capacity, GFP_KERNEL)?;

        for _ in 0..capacity {
            slots.push(MaybeUninit::uninit(), GFP_KERNEL)?;
        }
        Ok(Self(slots))
    }

    #[inline(always)]
    fn put(&mut self, i: usize, block: H) {
        self.0[i].write(block);
    }

    /// # Safety
    ///
    /// There must be a block in element `i`, which is not taken again.
    #[inline(always)]
    unsafe fn take(&mut self, i: usize) -> H {
        // SAFETY: There is a block in that element.
        unsafe { self.0[i].assume_init_read() }
    }
}

/// Allocates a block for each element of `range`.
#[inline(always)]
pub(crate) fn fill<'a, P: AnyPool>(
    pool: &'a P,
    held: &mut Held<P::Held<'a>>,
    range: Range<usize>,
) -> Result {
    for i in range {
        held.put(i, pool.alloc().ok_or(ENOMEM)?);
    }
    Ok(())
}

/// Frees the blocks of `range`.
#[inline(always)]
pub(crate) fn free<'a, P: AnyPool>(
    pool: &'a P,
    held: &mut Held<P::Held<'a>>,
    range: Range<usize>,
) -> Result {
    for i in range {
        // SAFETY: All callers have filled what they free.
        pool.free(unsafe { held.take(i) });
    }
    Ok(())
}

/// Replaces `times` blocks of the first `count` at random.
#[inline(always)]
fn replace<'a, P: AnyPool>(
    pool: &'a P,
    held: &mut Held<P::Held<'a>>,
    random: &mut Random,
    count: usize,
    times: usize,
) -> Result {
    for _ in 0..times {
        let i = random.below(count);

        free(pool, held, i..i + 1)?;
        fill(pool, held, i..i + 1)?;
    }
    Ok(())
}

/// What one thread does: once as a warm-up, then measured. Returns the nanoseconds, and the pairs
/// of one allocation and one free that they were for.
pub(crate) fn work<P: AnyPool>(
    pool: &P,
    w: Workload,
    rounds: usize,
    gate: &Gate,
    seed: u64,
) -> Result<Cost> {
    let mut held = Held::new(w.blocks)?;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let all = 0..w.blocks;
    let once = 8192 * rounds;

    fill(pool, &mut held, all.clone())?;
    // One who is late would allocate what the others have freed, and all go on with mixed pages.
    gate.pass();
    match w.kind {
        Kind::Row | Kind::Apart => {
            let rounds = once / w.blocks;

            free(pool, &mut held, all.clone())?;
            gate.pass();
            let time = nanoseconds(|| {
                for _ in 0..rounds {
                    fill(pool, &mut held, all.clone())?;
                    free(pool, &mut held, all.clone())?;
                }
                Ok(())
            })?;
            Ok(Cost::new(time, w.blocks * rounds))
        }
        Kind::Lifo => {
            free(pool, &mut held, all)?;
            gate.pass();
            let time = nanoseconds(|| {
                for _ in 0..once {
                    pool.free(black_box(pool.alloc().ok_or(ENOMEM)?));
                }
                Ok(())
            })?;
            Ok(Cost::new(time, once))
        }
        Kind::Random => {
            let mut time = 0;

            gate.pass();
            for _ in 0..rounds {
                for i in (1..w.blocks).rev() {
                    held.0.swap(i, random.below(i + 1));
                }
                time += nanoseconds(|| {
                    free(pool, &mut held, all.clone())?;
                    fill(pool, &mut held, all.clone())
                })?;
            }
            free(pool, &mut held, all)?;
            Ok(Cost::new(time, w.blocks * rounds))
        }
        Kind::Churn => {
            let count = w.blocks * 9 / 10;

            free(pool, &mut held, count..w.blocks)?;
            replace(pool, &mut held, &mut random, count, once)?;
            gate.pass();
            let time = nanoseconds(|| replace(pool, &mut held, &mut random, count, once))?;
            free(pool, &mut held, 0..count)?;
            Ok(Cost::new(time, once))
        }
        Kind::Live => {
            const BURST: usize = 64;
            let mut more = Held::new(BURST)?;

            fill(pool, &mut more, 0..BURST)?;
            free(pool, &mut more, 0..BURST)?;
            gate.pass();
            let time = nanoseconds(|| {
                for _ in 0..once / BURST {
                    fill(pool, &mut more, 0..BURST)?;
                    free(pool, &mut more, 0..BURST)?;
                }
                Ok(())
            })?;
            free(pool, &mut held, all)?;
            Ok(Cost::new(time, once))
        }
        Kind::HandOver | Kind::Grow | Kind::Make => Err(EINVAL),
    }
}
