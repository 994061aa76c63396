// SPDX-License-Identifier: GPL-2.0

//! The work item that fills a pool's reserve from process context.

use crate::{
    gfp,
    raw_pool::RawPool, //
};
use core::ptr::NonNull;
use kernel::prelude::*;

// `dmapool/refill.c`
extern "C" {
    fn rust_dmapool_refill_new(pool: *mut c_void) -> *mut c_void;
    fn rust_dmapool_refill_queue(refill: *mut c_void);
    fn rust_dmapool_refill_stop(refill: *mut c_void);
    fn rust_dmapool_refill_free(refill: *mut c_void);
}

/// The work item of a pool. When this is dropped it does not run any more, and never will.
///
/// # Invariants
///
/// From `rust_dmapool_refill_new()`.
pub(crate) struct Refill(NonNull<c_void>);

// SAFETY: A work item may be queued and cancelled by any thread.
unsafe impl Send for Refill {}
// SAFETY: As above.
unsafe impl Sync for Refill {}

impl Refill {
    /// The work item for `pool`. Process context; may sleep.
    ///
    /// # Safety
    ///
    /// `pool` must live, not move, and its device be bound, until the result is dropped or stopped.
    pub(crate) unsafe fn new(pool: &RawPool<'_>) -> Result<Self> {
        // SAFETY: The function has no requirements; the caller vouches for what it makes of `pool`.
        let refill = unsafe { rust_dmapool_refill_new(NonNull::from(pool).as_ptr().cast()) };

        // INVARIANT: It has just been made.
        Ok(Self(NonNull::new(refill).ok_or(ENOMEM)?))
    }

    /// Has the reserve filled soon. Any context.
    pub(crate) fn queue(&self) {
        // SAFETY: By the type invariants.
        unsafe { rust_dmapool_refill_queue(self.0.as_ptr()) };
    }

    /// Ends it for good. Process context; may sleep.
    pub(crate) fn stop(&self) {
        // SAFETY: By the type invariants.
        unsafe { rust_dmapool_refill_stop(self.0.as_ptr()) };
    }
}

impl Drop for Refill {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, and it is not used after this.
        unsafe { rust_dmapool_refill_free(self.0.as_ptr()) };
    }
}

/// Fills the reserve of a pool.
///
/// # Safety
///
/// To be called by the work item of that pool only.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_refill(pool: *mut c_void) {
    // SAFETY: By the requirements of this function, and of `Refill::new`, the pool lives.
    let pool = unsafe { &*pool.cast::<RawPool<'_>>() };

    // The reserve is short when memory is: nobody is to be killed for it. If this fails, who finds
    // the reserve short queues the work item again.
    let _ = pool.refill(gfp::without_effort(GFP_KERNEL));
}
