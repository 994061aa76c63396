// SPDX-License-Identifier: GPL-2.0

//! What a pool knows of itself. The fast path counts nothing: the free blocks are counted when
//! somebody asks.

use super::super::sys::prelude::*;
use super::{
    pool::RawPool,
    quarantine::Quarantine,
    slab::Slab,
    word::{
        read_once,
        WORD_BITS, //
    },
};
use core::fmt::Write;

/// What a pool holds at a moment; from [`Pool::statistics`].
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::{
///         Bound,
///         Device, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::Pool;
///
/// fn report(dev: &Device<Bound>, pool: &Pool<'_>) {
///     let now = pool.statistics();
///
///     dev_info!(dev, "{} of {} blocks in {} pages\n", now.live, now.capacity, now.pages);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Pages of DMA memory, each of [`page_size()`](RawGeometry::page_size) bytes; those of
    /// the reserve are among them.
    pub pages: u32,
    /// Blocks in these pages, allocated or not.
    pub capacity: u64,
    /// Blocks that are allocated: held as [`Block`], out as [`RawBlock`], forgotten.
    pub live: u64,
    /// About the most blocks that were allocated at once, as known when the pool grew, when it gave
    /// one of its reserve, or this was asked for. It may be too low by the blocks that the last
    /// growth added, and too high by those that other CPUs had free meanwhile.
    pub high_water: u64,
    /// Allocations that failed.
    pub failures: u64,
    /// Blocks that are to be kept for allocations that may not wait; see
    /// [`Options::min_nr`].
    pub min_nr: usize,
    /// How many blocks of the reserve are not allocated. Its pages are whole, so they can be more
    /// than `min_nr`. They count as neither free nor live.
    pub reserved: u64,
}

impl RawPool<'_> {
    pub(crate) fn statistics(&self) -> Statistics {
        let capacity = self.capacity();
        let reserved = self.reserved();
        let live = capacity
            .saturating_sub(self.count_free())
            .saturating_sub(reserved)
            .saturating_sub(self.quarantine.as_ref().map_or(0, Quarantine::count));

        Statistics {
            pages: self.pages.get(),
            capacity,
            live,
            high_water: self.note_level(live),
            failures: read_once(&self.failures),
            min_nr: self.min_nr,
            reserved,
        }
    }

    /// All blocks, allocated or not.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.pages.get()).wrapping_mul(self.geometry().blocks_per_page().into())
    }

    /// How many blocks are free, not counting those of the reserve; a snapshot.
    pub(crate) fn count_free(&self) -> u64 {
        self.chunks.count_free(&self.layout)
    }

    /// How many blocks of the reserve there are; a snapshot.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserve.count_free(&self.layout)
    }

    /// Notes that `live` blocks are allocated, and returns the most that there were.
    pub(crate) fn note_level(&self, live: u64) -> u64 {
        let mut mark = read_once(&self.high_water);

        while mark < live {
            // Relaxed: a number for people to read.
            match self.high_water.cmpxchg(mark, live, Relaxed) {
                Ok(_) => return live,
                Err(now) => mark = now,
            }
        }
        mark
    }

    /// Writes a line for each word of `slab`: its number and that of the first bit, `#` for a block
    /// that is allocated, `.` for one that is free, and a space where there is none.
    pub(crate) fn show_blocks(&self, slab: Slab<'_>, f: &mut impl Write) -> fmt::Result {
        for first in (0..self.layout.bits()).step_by(WORD_BITS as usize) {
            write!(f, "{:>6} {first:>5} ", slab.number())?;
            for bit in first..first.wrapping_add(WORD_BITS) {
                f.write_str(
                    match self.layout.is_block(bit) && slab.exists() & 1u64.wrapping_shl(bit) != 0 {
                        false => " ",
                        true if slab.is_allocated(bit, &self.layout) => "#",
                        true => ".",
                    },
                )?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}
