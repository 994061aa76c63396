// SPDX-License-Identifier: GPL-2.0

pub use crate::{
    alloc::{
        flags::*,
        KBox,
        KVBox,
        KVVec,
        KVec, //
    },
    dev_err,
    fmt,
    pr_info,
    static_assert, //
};
pub use core::{
    ffi::{
        c_char,
        c_int,
        c_void,
        CStr, //
    },
    pin::Pin,
};

/// An error, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(&'static str, i32);

impl Error {
    pub fn to_errno(self) -> i32 {
        -self.1
    }
}

pub const EINVAL: Error = Error("EINVAL", 22);
pub const ENODEV: Error = Error("ENODEV", 19);
pub const ENOMEM: Error = Error("ENOMEM", 12);
pub const EOVERFLOW: Error = Error("EOVERFLOW", 75);

pub type Result<T = (), E = Error> = core::result::Result<T, E>;

/// Types of which all bytes are valid.
pub trait FromBytes {}
/// Types without padding.
pub trait IntoBytes {}

impl FromBytes for u8 {}
impl IntoBytes for u8 {}

pub trait CStrExt {
    fn as_char_ptr(&self) -> *const core::ffi::c_char;
}

impl CStrExt for CStr {
    fn as_char_ptr(&self) -> *const core::ffi::c_char {
        self.as_ptr()
    }
}
