// SPDX-License-Identifier: GPL-2.0

//! There are no work items here.

use core::ptr::NonNull;
use kernel::prelude::*;

pub(crate) struct RefillWork;

impl RefillWork {
    pub(crate) fn new() -> Result<Self> {
        Err(ENOMEM)
    }

    pub(crate) unsafe fn queue(&self, _pool: NonNull<c_void>) {}

    pub(crate) fn stop(&self) {}
}
