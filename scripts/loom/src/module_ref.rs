// SPDX-License-Identifier: GPL-2.0

//! There is no module here.

use kernel::prelude::*;

pub(crate) struct ModuleRef;

impl ModuleRef {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self)
    }
}
