// SPDX-License-Identifier: GPL-2.0

//! References to the module that this code is part of: there is none, since it is built in.

use super::sys::prelude::*;

/// What keeps the code of a pool from being unloaded, which is nothing that has to be done.
pub(crate) struct ModuleRef(());

impl ModuleRef {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(()))
    }
}
