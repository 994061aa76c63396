// SPDX-License-Identifier: GPL-2.0

//! The first word of a pool, by which the interface for C knows it.
//!
//! A driver that was moved may be given a pool by one that was not. C's `struct dma_pool` begins
//! with the head of a list, and so with the address of a word.

use super::super::allocator::word::read_once;
use super::super::sys::prelude::*;

/// No address: it is odd, and small enough to be part of the instruction that compares it.
const EXISTS: u64 = 0x00d4_a90f;

/// What stays in the memory of a pool that is destroyed, until that is somebody else's.
const DESTROYED: u64 = 0xdead_a90f;

/// The mark of a pool, which changes when it is dropped.
#[repr(transparent)]
pub(crate) struct Mark(Atomic<u64>);

impl Mark {
    pub(crate) fn new() -> Self {
        Self(Atomic::new(EXISTS))
    }

    /// Whether this is the mark of a pool that exists.
    #[inline(always)]
    pub(crate) fn exists(&self) -> bool {
        read_once(&self.0) == EXISTS
    }

    /// Whether this was the mark of a pool.
    pub(crate) fn is_destroyed(&self) -> bool {
        read_once(&self.0) == DESTROYED
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // Relaxed: nobody should look, and whoever does is only told of it.
        self.0.store(DESTROYED, Relaxed);
    }
}
