// SPDX-License-Identifier: GPL-2.0

//! Several threads at once.

use super::{
    pools::AnyPool,
    work::{
        nanoseconds,
        work,
        Cost, //
    },
    Workload, //
};
use crate::thread::Thread;
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    }, //
};

/// Threads that wait for each other, as often as all of them come here.
pub(crate) struct Gate {
    threads: u32,
    waiting: Atomic<u32>,
}

impl Gate {
    pub(crate) fn new(threads: u32) -> Self {
        Self {
            threads,
            waiting: Atomic::new(0),
        }
    }

    pub(crate) fn pass(&self) {
        let before = self.waiting.fetch_add(1u32, Release);
        let all = (before / self.threads + 1) * self.threads;

        while self.waiting.load(Acquire) < all {
            core::hint::spin_loop();
        }
    }
}

/// Threads that work on the pools in turn. The cost is that of the slowest one, for the pairs of
/// all.
pub(crate) fn in_threads<P: AnyPool>(
    pools: &[P],
    w: Workload,
    rounds: usize,
    threads: u32,
) -> Result<Cost> {
    let gate = Gate::new(threads);
    let slowest = Atomic::new(0u64);
    let pairs = Atomic::new(0u64);
    let mut handles = KVec::new();

    for (number, pool) in (0..threads).zip(pools.iter().cycle()) {
        let (gate, slowest, pairs) = (&gate, &slowest, &pairs);

        handles.push(
            Thread::spawn(number, move || {
                let cost = work(pool, w, rounds, gate, u64::from(number) + 1)?;

                pairs.add(cost.pairs, Relaxed);
                let mut before = slowest.load(Relaxed);
                while let Err(now) = slowest.cmpxchg(before, before.max(cost.nanoseconds), Relaxed)
                {
                    before = now;
                }
                Ok(())
            })?,
            GFP_KERNEL,
        )?;
    }
    handles.into_iter().try_for_each(Thread::join)?;
    Ok(Cost {
        nanoseconds: slowest.load(Relaxed),
        pairs: pairs.load(Relaxed),
    })
}

/// Places in the ring of [`hand_over`].
pub(crate) const RING: usize = 1024;

/// One thread allocates, another one frees, with a ring of blocks between them.
pub(crate) fn hand_over<P: AnyPool>(pool: &P, rounds: usize) -> Result<Cost> {
    let ring: KVVec<Slot<P::Held<'_>>> = {
        let mut ring = KVVec::with_capacity(RING, GFP_KERNEL)?;
        for _ in 0..RING {
            ring.push(Slot::new(), GFP_KERNEL)?;
        }
        ring
    };
    let (ring, pairs) = (&ring, 8192 * rounds);
    let gate = &Gate::new(2);

    let consumer = Thread::spawn(1, move || {
        gate.pass();
        for i in 0..pairs {
            pool.free(ring[i % RING].take());
        }
        Ok(())
    })?;
    let time = Atomic::new(0u64);
    let measured = &time;
    let producer = Thread::spawn(0, move || {
        gate.pass();
        let time = nanoseconds(|| {
            for i in 0..pairs {
                // There is always memory, and an early end would leave the consumer waiting.
                while let Some(block) = pool.alloc() {
                    ring[i % RING].put(block);
                    break;
                }
            }
            Ok(())
        })?;
        measured.store(time, Relaxed);
        Ok(())
    })?;
    producer.join()?;
    consumer.join()?;
    Ok(Cost::new(time.load(Relaxed), pairs))
}

/// A place in the ring.
struct Slot<H> {
    full: Atomic<u32>,
    block: UnsafeCell<MaybeUninit<H>>,
}

// SAFETY: `full` says which of the two threads may access `block`.
unsafe impl<H: Send> Sync for Slot<H> {}

impl<H> Slot<H> {
    fn new() -> Self {
        Self {
            full: Atomic::new(0),
            block: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline(always)]
    fn put(&self, block: H) {
        while self.full.load(Acquire) != 0 {
            core::hint::spin_loop();
        }
        // SAFETY: The slot is empty, so the consumer leaves it alone.
        unsafe { (*self.block.get()).write(block) };
        self.full.store(1, Release);
    }

    #[inline(always)]
    fn take(&self) -> H {
        while self.full.load(Acquire) == 0 {
            core::hint::spin_loop();
        }
        // SAFETY: The slot is full, so the producer leaves it alone.
        let block = unsafe { (*self.block.get()).assume_init_read() };
        self.full.store(0, Release);
        block
    }
}
