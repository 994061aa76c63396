// SPDX-License-Identifier: GPL-2.0

//! Pools are not listed here.

use crate::raw_pool::RawPool;
use kernel::prelude::*;

pub(crate) struct Registration;

impl Registration {
    pub(crate) unsafe fn new(_pool: &RawPool<'_>) -> Result<Self> {
        Err(ENOMEM)
    }
}
