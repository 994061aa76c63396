// SPDX-License-Identifier: GPL-2.0

//! There are no work items here.

use crate::raw_pool::RawPool;
use kernel::prelude::*;

pub(crate) struct Refill;

impl Refill {
    pub(crate) unsafe fn new(_pool: &RawPool<'_>) -> Result<Self> {
        Err(ENOMEM)
    }

    pub(crate) fn queue(&self) {}

    pub(crate) fn stop(&self) {}
}
