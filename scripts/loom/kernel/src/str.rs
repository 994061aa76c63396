// SPDX-License-Identifier: GPL-2.0

use crate::prelude::*;
use core::ops::Deref;

pub struct CString(std::ffi::CString);

impl TryFrom<&CStr> for CString {
    type Error = Error;

    fn try_from(name: &CStr) -> Result<Self> {
        Ok(Self(name.into()))
    }
}

impl Deref for CString {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        &self.0
    }
}
