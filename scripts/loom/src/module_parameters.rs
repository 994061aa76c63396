// SPDX-License-Identifier: GPL-2.0

//! The parameters of the module, all off.

pub(crate) struct Off;

impl Off {
    pub(crate) fn value(&self) -> bool {
        false
    }
}

#[allow(non_upper_case_globals)] // As the macro of the kernel names it.
pub(crate) static poison: Off = Off;
