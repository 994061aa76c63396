// SPDX-License-Identifier: GPL-2.0

//! When blocks are zeroed without being asked to.
//!
//! The kernel's `init_on_alloc` and `init_on_free` are settled when it boots, so a pool asks once.

// `dmapool/helpers.c`
extern "C" {
    fn rust_dmapool_want_init_on_alloc() -> bool;
    fn rust_dmapool_want_init_on_free() -> bool;
}

/// Whether blocks are zeroed whenever they are allocated; C's `want_init_on_alloc(0)`.
pub(crate) fn on_alloc() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_want_init_on_alloc() }
}

/// Whether blocks are zeroed whenever they are freed; C's `want_init_on_free()`.
pub(crate) fn on_free() -> bool {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_want_init_on_free() }
}
