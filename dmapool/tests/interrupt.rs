// SPDX-License-Identifier: GPL-2.0

//! Code that runs in interrupts.

use core::{
    cell::UnsafeCell,
    marker::PhantomData, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

// `dmapool/sys/helpers.c`
extern "C" {
    fn rust_dmapool_in_hardirq() -> bool;
    fn rust_dmapool_in_serving_softirq() -> bool;
}

/// Which kind of interrupt.
#[derive(Clone, Copy)]
pub(crate) enum Context {
    Hard,
    Soft,
}

impl Context {
    fn mode(self) -> bindings::hrtimer_mode {
        match self {
            // In a hard interrupt on real-time kernels as well. Elsewhere as interrupt handlers
            // run, which may take the locks that lockdep knows to sleep on a real-time kernel.
            Self::Hard if cfg!(CONFIG_PREEMPT_RT) => bindings::hrtimer_mode_HRTIMER_MODE_REL_HARD,
            Self::Hard => bindings::hrtimer_mode_HRTIMER_MODE_REL,
            Self::Soft => bindings::hrtimer_mode_HRTIMER_MODE_REL_SOFT,
        }
    }

    /// Whether the caller is in such an interrupt.
    fn is_current(self) -> bool {
        // SAFETY: The functions have no requirements.
        let (hard, soft) =
            unsafe { (rust_dmapool_in_hardirq(), rust_dmapool_in_serving_softirq()) };

        match self {
            Self::Hard => hard,
            Self::Soft => soft && !hard,
        }
    }
}

/// A timer that calls a function with each tick, until that fails or this is dropped.
///
/// It must not be forgotten, so that the function may borrow.
pub(crate) struct Interrupts<'a, F: FnMut() -> Result + Send + 'a> {
    shared: KBox<Shared<F>>,
    borrows: PhantomData<&'a ()>,
}

#[repr(C)]
struct Shared<F> {
    timer: Opaque<bindings::hrtimer>,
    context: Context,
    f: UnsafeCell<F>,
    runs: Atomic<u32>,
    result: Atomic<i32>,
}

/// Nanoseconds; less than a tick.
const INTERVAL: i64 = 1_000_000;

impl<'a, F: FnMut() -> Result + Send + 'a> Interrupts<'a, F> {
    pub(crate) fn start(context: Context, f: F) -> Result<Self> {
        let shared = KBox::new(
            Shared {
                timer: Opaque::uninit(),
                context,
                f: UnsafeCell::new(f),
                runs: Atomic::new(0),
                result: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let (timer, mode) = (shared.timer.get(), context.mode());

        // SAFETY: The timer does not leave its box before it is cancelled.
        unsafe {
            bindings::hrtimer_setup(
                timer,
                Some(Self::entry),
                bindings::CLOCK_MONOTONIC as i32,
                mode,
            );
            bindings::hrtimer_start_range_ns(timer, INTERVAL, 0, mode);
        }
        Ok(Self {
            shared,
            borrows: PhantomData,
        })
    }

    /// # Safety
    ///
    /// To be called by the timer that `start` has set up.
    unsafe extern "C" fn entry(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
        // SAFETY: The timer is the first field, and is cancelled before the rest goes.
        let shared = unsafe { &*timer.cast::<Shared<F>>() };
        // SAFETY: A timer's function runs once at a time, and nobody else calls this one.
        let f = unsafe { &mut *shared.f.get() };
        let result = if shared.context.is_current() {
            f()
        } else {
            Err(EPERM)
        };

        if let Err(err) = result {
            shared.result.store(err.to_errno(), Relaxed);
            return bindings::hrtimer_restart::HRTIMER_NORESTART;
        }
        shared.runs.add(1u32, Relaxed);
        // SAFETY: This is the timer's function.
        unsafe { bindings::hrtimer_forward(timer, bindings::ktime_get(), INTERVAL) };
        bindings::hrtimer_restart::HRTIMER_RESTART
    }

    /// How often the function was called, or the error that it ended with.
    pub(crate) fn runs(&self) -> Result<u32> {
        to_result(self.shared.result.load(Relaxed))?;
        Ok(self.shared.runs.load(Relaxed))
    }
}

impl<'a, F: FnMut() -> Result + Send + 'a> Drop for Interrupts<'a, F> {
    fn drop(&mut self) {
        // SAFETY: The timer was set up.
        unsafe { bindings::hrtimer_cancel(self.shared.timer.get()) };
    }
}
