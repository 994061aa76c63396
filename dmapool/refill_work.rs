// SPDX-License-Identifier: GPL-2.0

//! The work item that has a pool's reserve filled from process context.

use core::ptr::NonNull;
use kernel::prelude::*;

// `dmapool/refill_work.c`
extern "C" {
    fn rust_dmapool_refill_work_new() -> *mut c_void;
    fn rust_dmapool_refill_work_queue(work: *mut c_void, pool: *mut c_void);
    fn rust_dmapool_refill_work_stop(work: *mut c_void);
    fn rust_dmapool_refill_work_free(work: *mut c_void);
}

/// The work item of a pool. When this is dropped it does not run any more, and never will.
///
/// # Invariants
///
/// From `rust_dmapool_refill_work_new()`.
pub(crate) struct RefillWork(NonNull<c_void>);

// SAFETY: Any thread may queue a work item, and cancel it.
unsafe impl Send for RefillWork {}
// SAFETY: As above.
unsafe impl Sync for RefillWork {}

impl RefillWork {
    /// Process context; may sleep.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The function has no requirements.
        let work = unsafe { rust_dmapool_refill_work_new() };

        // INVARIANT: It has just been made.
        Ok(Self(NonNull::new(work).ok_or(ENOMEM)?))
    }

    /// Has `rust_dmapool_refill()` called with `pool` soon. Any context.
    ///
    /// # Safety
    ///
    /// `pool` must be the pool to which this belongs, stay where it is, and its device be bound,
    /// until this is dropped or stopped.
    pub(crate) unsafe fn queue(&self, pool: NonNull<c_void>) {
        // SAFETY: By the type invariants; the caller vouches for what is made of `pool`.
        unsafe { rust_dmapool_refill_work_queue(self.0.as_ptr(), pool.as_ptr()) };
    }

    /// Ends it for good. Process context; may sleep.
    pub(crate) fn stop(&self) {
        // SAFETY: By the type invariants.
        unsafe { rust_dmapool_refill_work_stop(self.0.as_ptr()) };
    }
}

impl Drop for RefillWork {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, and it is not used after this.
        unsafe { rust_dmapool_refill_work_free(self.0.as_ptr()) };
    }
}
