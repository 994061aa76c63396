// SPDX-License-Identifier: GPL-2.0

//! The first word of a pool, by which the interface for C knows it.
//!
//! A driver that was moved may be given a pool by one that was not. C's `struct dma_pool` begins
//! with the head of a list, and so with the address of a word, whose lowest three bits are clear.

use crate::bitmap::read_once;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

// The bits are in the first byte.
static_assert!(cfg!(target_endian = "little"));

/// Set in a pool that exists. Of the three bits, it alone is clear in `POISON_FREE`, with which the
/// kernel can be told to fill freed memory.
const EXISTS: u64 = 1 << 2;

/// Set in a pool that exists and whose blocks are allocated plainly.
const PLAIN: u64 = 1 << 1;

/// What stays in the memory of a pool that is destroyed, until that is somebody else's.
const DESTROYED: u64 = 0xdead << 32;

/// The mark of a pool, which changes when it is dropped.
#[repr(transparent)]
pub(crate) struct Mark(Atomic<u64>);

impl Mark {
    /// `plain_alloc` as in [`RawPool`](crate::raw_pool::RawPool).
    pub(crate) fn new(plain_alloc: bool) -> Self {
        Self(Atomic::new(if plain_alloc {
            EXISTS | PLAIN
        } else {
            EXISTS
        }))
    }

    /// The byte that has the bits.
    #[inline(always)]
    fn first(&self) -> u8 {
        // SAFETY: The pointer is valid. The bits of a pool change when it is dropped, and in other
        // memory they never do. A volatile read of a byte is whole, and is part of the instruction
        // that tests it, as that of a word is not.
        unsafe { self.0.as_ptr().cast::<u8>().read_volatile() }
    }

    /// Whether this is the mark of a pool that exists.
    #[inline(always)]
    pub(crate) fn exists(&self) -> bool {
        // CAST: The bit is in the first byte.
        self.first() & EXISTS as u8 != 0
    }

    /// Whether this is the mark of a pool that exists and has `plain_alloc`.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        // CAST: The bits are in the first byte.
        self.first() == (EXISTS | PLAIN) as u8
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
