// SPDX-License-Identifier: GPL-2.0

//! Threads of this machine that are bound to a CPU, and may borrow from the one who starts them.

use core::ffi::c_int;
use kernel::{
    model,
    prelude::*, //
};
use std::{
    marker::PhantomData,
    sync::OnceLock,
    thread, //
};

extern "C" {
    fn sched_setaffinity(pid: c_int, size: usize, mask: *const u64) -> c_int;
    fn sched_getaffinity(pid: c_int, size: usize, mask: *mut u64) -> c_int;
}

/// A bit for each CPU, as many as the library's own sets have.
type CpuSet = [u64; 16];

/// The CPUs on which this process may run, by their numbers.
static CPUS: OnceLock<Vec<usize>> = OnceLock::new();

/// Looks for CPUs, and returns the numbers of those on which this process may run. To be called
/// before a library binds this thread to one.
pub(crate) fn init() -> &'static [usize] {
    CPUS.get_or_init(|| {
        let mut allowed: CpuSet = [0; 16];

        // SAFETY: The set is there for the call.
        let found = unsafe { sched_getaffinity(0, size_of::<CpuSet>(), allowed.as_mut_ptr()) };
        assert!(found == 0, "cannot tell which CPUs there are");
        (0..allowed.len() * 64)
            .filter(|cpu| allowed[cpu / 64] >> (cpu % 64) & 1 != 0)
            .collect()
    })
}

/// Binds this thread to the CPU that is number `which` of those on which this process may run.
fn bind(which: u32) {
    let cpu = init()[which as usize];
    let mut one: CpuSet = [0; 16];

    one[cpu / 64] = 1 << (cpu % 64);
    // SAFETY: The set is there for the call.
    let bound = unsafe { sched_setaffinity(0, size_of::<CpuSet>(), one.as_ptr()) };
    assert!(bound == 0, "cannot bind a thread to CPU {cpu}");
    model::run_on(which);
}

/// A thread that is joined when dropped, so that it may borrow.
pub(crate) struct Thread<'a, F> {
    handle: Option<thread::JoinHandle<Result>>,
    borrows: PhantomData<(&'a (), F)>,
}

impl<'a, F: FnOnce() -> Result + Send + 'a> Thread<'a, F> {
    /// Starts a thread on the CPU that is number `cpu`.
    pub(crate) fn spawn(cpu: u32, f: F) -> Result<Self> {
        let body = move || {
            // Without return if this fails: other threads wait for this one.
            bind(cpu);
            #[cfg(dpdk)]
            let _registered = crate::dpdk::Registered::new();
            f()
        };

        // SAFETY: The thread is joined before this value is gone, and so before what it borrows.
        let handle = unsafe { thread::Builder::new().spawn_unchecked(body) };
        Ok(Self {
            handle: Some(handle.map_err(|_| ENOMEM)?),
            borrows: PhantomData,
        })
    }

    /// Waits for the thread, and returns its result.
    pub(crate) fn join(mut self) -> Result {
        match self.handle.take() {
            Some(handle) => handle.join().map_err(|_| EINVAL)?,
            None => Ok(()),
        }
    }
}

impl<F> Drop for Thread<'_, F> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // What went wrong there has been reported, and something else was before that.
            let _ = handle.join();
        }
    }
}
