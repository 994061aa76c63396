// SPDX-License-Identifier: GPL-2.0

//! Who fills the reserve of a pool, and when: see also `free.rs`, which puts freed blocks there.

use crate::{
    gfp,
    raw_pool::RawPool, //
};
use core::ptr::NonNull;
use kernel::{
    alloc::Flags,
    prelude::*, //
};

impl RawPool<'_> {
    /// Fills the reserve. Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if there is not enough memory. What was obtained until then is kept.
    pub(crate) fn refill(&self, flags: Flags) -> Result {
        while self.reserve.is_short() {
            let block = match self.alloc_from_own() {
                Some(block) => block,
                None => self.find_or_grow(flags, |_| None)?,
            };

            // SAFETY: The block is of this pool, and freed if it is not kept.
            unsafe {
                if !self.reserve.put(&block) {
                    block.give_to_page();
                }
            }
        }
        Ok(())
    }

    /// Has the reserve filled by whoever may wait for memory, if it is short.
    pub(crate) fn refill_later(&self, flags: Flags) {
        if !self.reserve.is_short() {
            return;
        }
        if let Some(work) = &self.refill_work {
            // SAFETY: The pool stays where it is, and stops the work before it goes.
            unsafe { work.queue(NonNull::from(self).cast()) };
        } else if gfp::may_block(flags) {
            // There is a next time if this fails.
            let _ = self.refill(gfp::without_effort(flags));
        }
    }
}

/// Fills the reserve of a pool; what its work item does.
///
/// # Safety
///
/// To be called by `dmapool/refill_work.c` only, with what [`RawPool::refill_later`] passed.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_refill(pool: *mut c_void) {
    // SAFETY: This is a pool, which waits for its work item before it goes.
    let pool = unsafe { &*pool.cast::<RawPool<'_>>() };

    // The reserve is short when memory is: nobody is to be killed for it. If this fails, whoever
    // finds the reserve short queues the work item again.
    let _ = pool.refill(gfp::without_effort(GFP_KERNEL));
}
