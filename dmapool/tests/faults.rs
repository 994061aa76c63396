// SPDX-License-Identifier: GPL-2.0

//! Each allocation of memory that a step needs fails once: the first, then the second, up to the
//! last. The step reports that, changes nothing, leaks nothing, and works at the next try.
//!
//! `scripts/kunit/guest/kunit` lets allocations fail that may sleep, too.

use super::super::{
    Block,
    Geometry,
    Options,
    Pool,
    RevocablePool,
    Statistics,
    WithState, //
};
use super::{
    super::allocator::memory::pages_held,
    checked::CPool,
    support::*,
    thread::Thread, //
};
use core::ptr::null_mut;
use kernel::{
    alloc::Flags,
    bindings,
    cpu::nr_cpu_ids,
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

/// Two pages of the CPU each, because single ones are not made to fail.
const GEOMETRY: Geometry = Geometry::new::<8192, 8192, 0>();

/// The same, as a caller in C asks for it.
const ASKED: [usize; 3] = [8192, 8192, 0];

/// Lets the `nth` allocation of memory in this task from now on fail, whatever it is for.
fn fail_nth(nth: u32) {
    // SAFETY: The task is the current one, which is the only one to access the field.
    unsafe { (*kernel::current!().as_ptr()).fail_nth = nth };
}

/// Whether the failure that [`fail_nth`] asked for is still to come; it is called off.
fn fault_is_pending() -> bool {
    // SAFETY: As in `fail_nth`.
    let pending = unsafe { (*kernel::current!().as_ptr()).fail_nth != 0 };

    fail_nth(0);
    pending
}

/// The fault that a scenario is to meet.
struct Fault {
    nth: u32,
    pending: bool,
    errors: u32,
}

impl Fault {
    /// Runs `step`, during which the fault occurs. `None` if the step failed, as it may then.
    ///
    /// What the kernel allocates on the way, and the pool for debugfs, may fail without harm.
    fn strike<R>(&mut self, step: impl FnOnce() -> Result<R>) -> Result<Option<R>> {
        fail_nth(self.nth);
        let result = step();
        self.pending = fault_is_pending();

        match result {
            Ok(done) => Ok(Some(done)),
            Err(err) => {
                ensure!(err == ENOMEM && !self.pending);
                self.errors += 1;
                Ok(None)
            }
        }
    }
}

/// Runs `scenario` with its first, second, and so on, allocation of memory failing, until there are
/// no more. It must fail at least `least` times, and leave no page behind.
///
/// The kernel's own caches need memory now and then. If one did in between, so that a fault of the
/// scenario's was passed over, it all begins anew.
fn at_each_fault(least: u32, mut scenario: impl FnMut(&mut Fault) -> Result) -> Result {
    for _ in 0..10 {
        let mut fault = Fault {
            nth: 0,
            pending: false,
            errors: 0,
        };
        let held = pages_held();

        while !fault.pending {
            fault.nth += 1;
            scenario(&mut fault).inspect_err(|_| pr_err!("fault {}\n", fault.nth))?;
            ensure!(pages_held() == held);
        }
        if fault.errors >= least {
            return Ok(());
        }
    }
    pr_err!("less than {least} faults\n");
    Err(EINVAL)
}

fn new_pool(device: &TestDevice) -> Result<Pool<'_>> {
    Pool::new(device.bound(), c"fault", GEOMETRY)
}

/// Whether a pool can be used.
fn works(pool: &Pool<'_>, live: usize) -> bool {
    let block = pool.zalloc(GFP_KERNEL);

    block.is_ok() && holds(pool, live + 1) && {
        drop(block);
        holds(pool, live)
    }
}

/// Gives a pool with `live` blocks allocated to `step`, and checks that a fault in there changes
/// nothing but the number of free blocks, and that `step` works the next time.
fn with_pool(
    fault: &mut Fault,
    pool: &Pool<'_>,
    live: usize,
    mut step: impl FnMut(&Pool<'_>) -> Result,
) -> Result {
    let before = pool.statistics();
    let held = pages_held();
    let done = fault.strike(|| step(pool))?;
    let now = pool.statistics();

    ensure!(pages_held() - held == (now.pages - before.pages) as usize);
    if done.is_none() {
        ensure!(holds(pool, live));
        step(pool)?;
    }
    ensure!(works(pool, live));
    Ok(())
}

/// Allocates a block and frees it. If there is none, that is all that the statistics say.
fn alloc_one(pool: &Pool<'_>, flags: Flags) -> Result {
    let before = pool.statistics();

    pool.alloc(flags).map(drop).or_else(|err| {
        let failures = before.failures + 1;

        ensure!(pool.statistics() == Statistics { failures, ..before });
        Err(err)
    })
}

/// What the driver of the faux device keeps: a pool lent by devres, and a block of it.
struct DriverData {
    _block: Block<'static>,
    _second: Block<'static, u64>,
}

/// Which allocation of a probe is to fail.
static PROBE: Atomic<u32> = Atomic::new(0);
/// How many probes there were.
static PROBES: Atomic<u32> = Atomic::new(0);
/// Whether the last probe met the end of its allocations before that.
static PENDING: Atomic<bool> = Atomic::new(false);
/// Whether a probe fails when it has all it needs.
static FAILS_LATE: Atomic<bool> = Atomic::new(false);

/// Blocks in the reserve of its first pool, each of them a page.
const RESERVE: usize = 3;

fn probe_with(device: &'static Device<Bound>) -> Result<KBox<DriverData>> {
    let options = Options::new().min_nr(RESERVE);
    // SAFETY: The data is dropped before devres is released, by `remove` or because `probe` fails.
    let (pool, second) = unsafe {
        (
            Pool::managed_by(device, device, c"first", GEOMETRY, options)?.lend(),
            Pool::<u64>::managed_by(
                device,
                device,
                c"second",
                Geometry::<u64>::of(),
                Options::new(),
            )?
            .lend(),
        )
    };
    let data = KBox::new(
        DriverData {
            _block: pool.alloc(GFP_KERNEL)?,
            _second: second.zalloc(GFP_KERNEL)?,
        },
        GFP_KERNEL,
    )?;

    if FAILS_LATE.load(Relaxed) {
        return Err(ENODEV);
    }
    Ok(data)
}

unsafe extern "C" fn probe(faux: *mut bindings::faux_device) -> c_int {
    // SAFETY: The device is there, and bound until `remove`, when all that borrows goes.
    let device = unsafe { &*(&raw mut (*faux).dev).cast::<Device<Bound>>() };

    set_mask(device, u64::MAX);
    PROBES.add(1u32, Relaxed);
    fail_nth(PROBE.load(Relaxed));
    let result = probe_with(device);
    PENDING.store(fault_is_pending(), Relaxed);

    match result {
        Ok(data) => {
            // SAFETY: The driver data is the driver's.
            unsafe { (*faux).dev.driver_data = KBox::into_raw(data).cast() };
            0
        }
        Err(err) => err.to_errno(),
    }
}

unsafe extern "C" fn remove(faux: *mut bindings::faux_device) {
    // SAFETY: `probe` has put it there.
    let data = unsafe { (&raw mut (*faux).dev.driver_data).replace(null_mut()) };

    // SAFETY: As above.
    drop(unsafe { KBox::from_raw(data.cast::<DriverData>()) });
}

static OPS: bindings::faux_device_ops = bindings::faux_device_ops {
    probe: Some(probe),
    remove: Some(remove),
};

/// A device of the driver above, if it bound.
struct Driven(*mut bindings::faux_device);

// SAFETY: The driver core takes its own locks.
unsafe impl Sync for Driven {}

impl Driven {
    fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The operations are good for a device of any driver data.
        let faux = unsafe { bindings::faux_device_create(name.as_char_ptr(), null_mut(), &OPS) };

        (!faux.is_null()).then_some(Self(faux)).ok_or(ENODEV)
    }

    /// Lets the driver probe, if it is not bound. Returns whether it is bound then.
    fn attach(&self) -> bool {
        // SAFETY: The device is there.
        unsafe { bindings::device_attach(&raw mut (*self.0).dev) == 1 }
    }

    fn detach(&self) {
        // SAFETY: The device is there.
        unsafe { bindings::device_release_driver(&raw mut (*self.0).dev) };
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // SAFETY: The device is there, and not used any more.
        unsafe { bindings::faux_device_destroy(self.0) };
    }
}

#[kunit_tests(rust_dmapool_faults)]
mod suite {
    use super::*;

    #[test]
    fn new() -> Result {
        let device = TestDevice::new(c"dmapool-fault-new")?;

        at_each_fault(2, |fault| {
            let pool = match fault.strike(|| new_pool(&device))? {
                Some(pool) => pool,
                None => new_pool(&device)?,
            };
            ensure!(works(&pool, 0));
            Ok(())
        })
    }

    #[test]
    fn new_managed() -> Result {
        at_each_fault(2, |fault| {
            let device = TestDevice::new(c"dmapool-fault-managed")?;
            let new = || managed_pool::<[u8]>(&device, c"fault", GEOMETRY, Options::new());
            let pool = match fault.strike(new)? {
                Some(pool) => pool,
                None => new()?,
            };
            ensure!(works(&pool, 0));
            // The next one is devres's.
            if fault.nth % 2 == 0 {
                pool.destroy();
            }
            Ok(())
        })
    }

    /// A revocable pool, and one block of it that is held.
    #[test]
    fn new_revocable() -> Result {
        at_each_fault(4, |fault| {
            let device = TestDevice::new(c"dmapool-fault-revocable")?;
            let options = Options::new().tokens().addresses();
            let new = || {
                let pool: Arc<RevocablePool<WithState<u64, u64>>> =
                    Pool::new_revocable(device.core(), c"fault", Geometry::of(), options)?;

                pool.zalloc(GFP_KERNEL)
            };
            let block = match fault.strike(new)? {
                Some(block) => block,
                None => new()?,
            };
            ensure!(block.with(|block| *block.state()) == Some(0));
            drop(device);
            ensure!(block.with(|_| ()).is_none());
            Ok(())
        })
    }

    /// A pool for C that is shrunk: all pages stay, or those in use.
    #[cfg(MODULE)]
    #[test]
    fn shrink_for_c() -> Result {
        let device = TestDevice::new(c"dmapool-fault-shrink")?;

        at_each_fault(1, |fault| {
            let pool = CPool::new(&device, [4096, 4096, 0])?;
            let mut held = KVec::new();

            for _ in 0..50 {
                held.push(pool.alloc()?, GFP_KERNEL)?;
            }
            for _ in 0..20 {
                pool.free(held.pop().ok_or(ENOENT)?);
            }
            let shrink = || match pool.shrink() {
                0 => Err(ENOMEM),
                pages => Ok(pages),
            };
            let pages = match fault.strike(shrink)? {
                Some(pages) => pages,
                None => shrink()?,
            };
            ensure!(pages >= 20 && pool.statistics().pages >= 30);
            while let Some(block) = held.pop() {
                pool.free(block);
            }
            ensure!(pool.statistics().live == 0);
            Ok(())
        })
    }

    #[test]
    fn first_alloc() -> Result {
        let device = TestDevice::new(c"dmapool-fault-first")?;

        for flags in [GFP_KERNEL, GFP_ATOMIC] {
            at_each_fault(2, |fault| {
                let pool = new_pool(&device)?;

                with_pool(fault, &pool, 0, |pool| alloc_one(pool, flags))
            })?;
        }
        Ok(())
    }

    #[test]
    fn growth() -> Result {
        let device = TestDevice::new(c"dmapool-fault-growth")?;

        // A page of a slab, another slab, and another chunk of slabs.
        for live in [1, 5, 64, 1024] {
            at_each_fault(1, |fault| {
                let pool = new_pool(&device)?;
                let mut held = KVec::new();

                for i in 0..live {
                    held.push(Stamped::new(pool.alloc(GFP_KERNEL)?, i), GFP_KERNEL)?;
                }
                while pool.statistics().capacity > held.len() as u64 {
                    held.push(Stamped::new(pool.alloc(GFP_KERNEL)?, 1), GFP_KERNEL)?;
                }
                with_pool(fault, &pool, held.len(), |pool| alloc_one(pool, GFP_KERNEL))?;
                ensure!(held.iter().all(Stamped::is_intact));
                Ok(())
            })?;
        }
        Ok(())
    }

    #[test]
    fn prefill() -> Result {
        let device = TestDevice::new(c"dmapool-fault-prefill")?;

        at_each_fault(5, |fault| {
            let pool = new_pool(&device)?;
            let _held = pool.alloc(GFP_KERNEL)?;

            with_pool(fault, &pool, 1, |pool| pool.prefill(300, GFP_KERNEL))?;
            ensure!(pool.statistics().capacity >= 301);
            Ok(())
        })
    }

    #[test]
    fn alloc_bulk() -> Result {
        let device = TestDevice::new(c"dmapool-fault-bulk")?;

        at_each_fault(5, |fault| {
            let pool = new_pool(&device)?;

            with_pool(fault, &pool, 0, |pool| {
                let mut blocks = [const { None }; 20];
                let result = pool.alloc_bulk(&mut blocks, GFP_KERNEL);

                ensure!(blocks.iter().all(|block| block.is_some() == result.is_ok()));
                result
            })
        })
    }

    #[test]
    fn c_interface() -> Result {
        let device = TestDevice::new(c"dmapool-fault-c")?;

        at_each_fault(2, |fault| {
            let pool = match fault.strike(|| CPool::new(&device, ASKED))? {
                Some(pool) => pool,
                None => CPool::new(&device, ASKED)?,
            };
            pool.free(pool.alloc()?);
            Ok(())
        })?;

        // The first block, and those that come with a new page, slab, chunk, or table of the map.
        for live in [0, 1, 2, 5, 8, 16, 32, 64, 128, 1024] {
            at_each_fault(1, |fault| {
                let pool = CPool::new(&device, ASKED)?;
                let mut held = KVec::new();

                while held.len() < live || pool.statistics().capacity > held.len() as u64 {
                    held.push(pool.alloc()?, GFP_KERNEL)?;
                }
                let before = pool.statistics();
                let block = fault.strike(|| pool.alloc())?;
                if block.is_none() {
                    let failures = before.failures + 1;

                    ensure!(pool.statistics() == Statistics { failures, ..before });
                    ensure!(pool.raw().unpublished_slabs() == 0);
                }
                held.push(block.map_or_else(|| pool.alloc(), Ok)?, GFP_KERNEL)?;
                ensure!(pool.statistics().live == held.len() as u64);
                held.drain_all().for_each(|block| pool.free(block));
                ensure!(pool.statistics().live == 0 && pool.raw().unpublished_slabs() == 0);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// What a pool needs for itself is not what is asked for blocks, and the block is zeroed.
    #[test]
    fn c_zalloc() -> Result {
        let device = TestDevice::new(c"dmapool-fault-zalloc")?;
        let flags = bindings::GFP_KERNEL | bindings::__GFP_ZERO;

        at_each_fault(1, |fault| {
            let mut pools = KVec::new();

            for _ in 0..60 {
                let pool = CPool::new(&device, ASKED)?;
                let block = fault.strike(|| pool.alloc_with(flags))?;

                pool.free(block.map_or_else(|| pool.alloc_with(flags), Ok)?);
                pools.push(pool, GFP_KERNEL)?;
            }
            Ok(())
        })
    }

    #[test]
    fn c_managed() -> Result {
        at_each_fault(2, |fault| {
            let device = TestDevice::new(c"dmapool-fault-dmam")?;
            let new = || CPool::new_managed(&device, ASKED);
            let pool = match fault.strike(new)? {
                Some(pool) => pool,
                None => new()?,
            };

            pool.free(pool.alloc()?);
            Ok(())
        })
    }

    /// A driver's probe fails at each step, and at last not at all; the driver core cleans up.
    #[test]
    fn probe() -> Result {
        for late in [false, true] {
            let held = pages_held();
            let mut failed = 0;

            FAILS_LATE.store(late, Relaxed);
            for nth in 1.. {
                PROBE.store(nth, Relaxed);
                let bound = Driven::new(c"dmapool-fault-probe");

                if bound.is_ok() {
                    assert!(!late);
                    assert_eq!(pages_held() - held, 2 + RESERVE);
                } else {
                    failed += 1;
                    assert_eq!(pages_held(), held);
                }
                drop(bound);
                assert_eq!(pages_held(), held);
                if PENDING.load(Relaxed) {
                    break;
                }
            }
            assert!(failed >= 8);
        }
        Ok(())
    }

    /// One thread lets the driver probe, half the time with a fault, while another one detaches it.
    #[test]
    fn detached_while_probing() -> Result {
        const ROUNDS: u32 = 200;
        let held = pages_held();
        let bound = Atomic::new(0);
        let done = Atomic::new(false);

        FAILS_LATE.store(false, Relaxed);
        PROBE.store(0, Relaxed);
        let device = Driven::new(c"dmapool-fault-detach")?;

        let attaching = Thread::spawn(0, || {
            let first = PROBES.load(Relaxed);

            loop {
                let round = PROBES.load(Relaxed) - first;
                if round >= ROUNDS {
                    break;
                }
                PROBE.store([0, round / 2 % 50][round as usize % 2], Relaxed);
                if device.attach() && PROBES.load(Relaxed) - first > round {
                    bound.add(1, Relaxed);
                }
                // SAFETY: Nothing is held.
                unsafe { bindings::schedule() };
            }
            done.store(true, Relaxed);
            Ok(())
        })?;
        let detaching = Thread::spawn(nr_cpu_ids() - 1, || {
            while !done.load(Relaxed) {
                device.detach();
                // SAFETY: Nothing is held.
                unsafe { bindings::schedule() };
            }
            Ok(())
        })?;
        attaching.join()?;
        detaching.join()?;
        device.detach();
        assert_eq!(pages_held(), held);
        assert!((ROUNDS / 2..ROUNDS).contains(&bound.load(Relaxed)));

        // It binds again.
        PROBE.store(0, Relaxed);
        assert!(device.attach());
        assert_eq!(pages_held() - held, 2 + RESERVE);
        drop(device);
        assert_eq!(pages_held(), held);
        Ok(())
    }
}
