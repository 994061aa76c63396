// SPDX-License-Identifier: GPL-2.0

//! Strings of C, by functions that cannot panic. Those of the standard library subtract lengths.

use kernel::{
    bindings,
    prelude::*, //
};

/// The string at `first`; like `CStr::from_char_ptr()`.
///
/// # Safety
///
/// There must be a string, which lives for `'a`.
pub(crate) unsafe fn from_char_ptr<'a>(first: *const c_char) -> &'a CStr {
    // SAFETY: The caller vouches for a string, which has that many bytes.
    unsafe {
        let len = bindings::strlen(first).wrapping_add(1);

        CStr::from_bytes_with_nul_unchecked(core::slice::from_raw_parts(first.cast(), len))
    }
}

/// The bytes of a string; like `CStr::to_bytes()`.
pub(crate) fn bytes(string: &CStr) -> impl Iterator<Item = u8> + '_ {
    string
        .to_bytes_with_nul()
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
}

pub(crate) fn equal(a: &CStr, b: &CStr) -> bool {
    a.to_bytes_with_nul() == b.to_bytes_with_nul()
}
