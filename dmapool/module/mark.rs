// SPDX-License-Identifier: GPL-2.0

//! The first word of a pool, by which the interface for C knows it.
//!
//! A driver that was moved may be given a pool by one that was not. C's `struct dma_pool` begins
//! with the head of a list, and so with the address of a word.

/// No address: it is odd, and small enough to be part of the instruction that compares it.
const EXISTS: u64 = 0x00d4_a90f;

/// What stays in the memory of a pool that is destroyed, until that is somebody else's.
const DESTROYED: u64 = 0xdead_a90f;

/// The mark of a pool, which changes when it is dropped.
#[repr(transparent)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) fn new() -> Self {
        Self(EXISTS)
    }

    /// Whether this is the mark of a pool that exists.
    #[inline(always)]
    pub(crate) fn exists(&self) -> bool {
        self.0 == EXISTS
    }

    /// Whether this was the mark of a pool.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.0 == DESTROYED
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // Volatile, since as far as the compiler knows nobody looks at it any more.
        // SAFETY: The pointer is that of a reference.
        unsafe { (&raw mut self.0).write_volatile(DESTROYED) };
    }
}
