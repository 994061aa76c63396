// SPDX-License-Identifier: GPL-2.0

use crate::prelude::*;

/// The only error that C returns here.
pub fn to_result(err: c_int) -> Result {
    if err < 0 {
        Err(ENOMEM)
    } else {
        Ok(())
    }
}
