// SPDX-License-Identifier: GPL-2.0

//! Strings of C, by functions that cannot panic. Those of the standard library subtract lengths.

use super::prelude::*;
use core::fmt::Write;

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

/// The characters of a string, which should be UTF-8: U+FFFD stands for what is not.
pub(crate) fn chars(string: &CStr) -> impl Iterator<Item = char> + '_ {
    string
        .to_bytes_with_nul()
        .utf8_chunks()
        .flat_map(|chunk| {
            let other = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);

            Iterator::chain(chunk.valid().chars(), other)
        })
        .take_while(|&c| c != '\0')
}

/// A string as people read it, on one line: as it is, but for control characters.
pub(crate) struct Readable<'a>(pub(crate) &'a CStr);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in chars(self.0) {
            if c.is_control() {
                c.escape_default().try_for_each(|c| f.write_char(c))?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}
