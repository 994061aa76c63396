// SPDX-License-Identifier: GPL-2.0

//! Tokens: blocks that no [`Block`](crate::Block) owns for a while, each of which comes back at
//! most once, whatever a device makes of its token.
//!
//! Each block of a pool with tokens has a count beside the bitmap of its page, out of the device's
//! reach. It is odd while the block is out, and a token holds that odd number: so it is good until
//! somebody takes it back, and then never again.

use crate::{
    bitmap::read_once,
    geometry::Geometry, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

// `dmapool/helpers.c`
extern "C" {
    fn rust_dmapool_random() -> u32;
}

/// What is set in a count while its block is out.
const OUT: u32 = 1;

/// How often a block went out and came back.
///
/// # Invariants
///
/// Odd if and only if the block is allocated and owned by nobody but this. Then only who makes it
/// even owns the block; else only the block's owner changes the count.
#[repr(transparent)]
pub(crate) struct Count(Atomic<u32>);

impl Count {
    /// That of a block that is not out, in a pool with this salt.
    pub(crate) fn new(salt: Salt) -> Self {
        // INVARIANT: A salt is even.
        Self(Atomic::new(salt.0))
    }

    /// Lets the block out, and returns the number that takes it back.
    ///
    /// Release: what the owner did to the block happens before what the next one does.
    ///
    /// # Safety
    ///
    /// The caller must own the block, and does so no more after this.
    pub(crate) unsafe fn let_out(&self) -> u32 {
        // By the requirements of this function nobody else changes the count now.
        let number = read_once(&self.0).wrapping_add(OUT);

        // INVARIANT: The count was even, and the owner has just given up the block.
        self.0.store(number, Release);
        number
    }

    /// Takes the block back, if it is out under this number. Then the caller owns it.
    ///
    /// Acquire: pairs with [`Count::let_out`].
    pub(crate) fn take_back(&self, number: u32) -> bool {
        // INVARIANT: One thread makes an odd count even, and becomes the owner.
        number & OUT != 0
            && self
                .0
                .cmpxchg(number, number.wrapping_add(OUT), Acquire)
                .is_ok()
    }
}

/// Where the counts of a pool begin. An even number.
///
/// As far from that of any other pool as can be, so that a token does not fit elsewhere, and not
/// to be guessed.
#[derive(Clone, Copy)]
pub(crate) struct Salt(u32);

impl Salt {
    pub(crate) fn new() -> Self {
        /// 2^32 divided by the golden ratio: multiples of it, modulo 2^32, keep apart.
        const STEP: u32 = 0x9e37_79b9;
        static POOLS: Atomic<u32> = Atomic::new(0);
        static FIRST: Atomic<u32> = Atomic::new(0);

        if read_once(&FIRST) == 0 {
            // SAFETY: The function has no requirements.
            let random = unsafe { rust_dmapool_random() };
            // Relaxed: whoever is late may use the number of the other one; any will do.
            let _ = FIRST.cmpxchg(0, random, Relaxed);
        }
        // Relaxed: a number that no other pool has is all that is needed.
        let pool = POOLS.fetch_add(1, Relaxed);
        Self(
            read_once(&FIRST)
                .wrapping_add(pool.wrapping_mul(STEP))
                .wrapping_mul(2),
        )
    }
}

/// A block that is out as a token; from [`Block::into_raw`](crate::Block::into_raw).
///
/// Plain numbers, which name the block within its pool and are of no use to a device as an
/// address. It can be copied, stored in a hardware descriptor, and come back any number of times:
/// [`Pool::from_raw`](crate::Pool::from_raw) accepts it once.
///
/// # Examples
///
/// ```
/// use rust_dmapool::RawBlock;
///
/// fn same(raw: RawBlock) -> bool {
///     RawBlock::from_bits(raw.into_bits()) == raw
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawBlock {
    /// That of the block's [`Count`].
    number: u32,
    /// Which block of the pool, counted through all pages.
    block: u32,
}

impl RawBlock {
    /// The number of block `index` of page `page`, among all of the pool.
    pub(crate) fn block(geometry: &Geometry, page: u32, index: u32) -> Option<u32> {
        page.checked_mul(geometry.most_blocks())?.checked_add(index)
    }

    pub(crate) fn new(number: u32, block: u32) -> Self {
        Self { number, block }
    }

    pub(crate) fn number(self) -> u32 {
        self.number
    }

    /// The page and the index of the block.
    pub(crate) fn page_and_index(self, geometry: &Geometry) -> Option<(u32, u32)> {
        let most = geometry.most_blocks();

        Some((self.block.checked_div(most)?, self.block.checked_rem(most)?))
    }

    /// All that there is to it in 64 bits, for a field that hardware hands back.
    ///
    /// # Examples
    ///
    /// ```
    /// let raw = rust_dmapool::RawBlock::from_bits(42);
    /// assert_eq!(raw.into_bits(), 42);
    /// ```
    pub const fn into_bits(self) -> u64 {
        // CAST: Widening.
        (self.number as u64) << u32::BITS | self.block as u64
    }

    /// The reverse of [`RawBlock::into_bits`].
    ///
    /// # Examples
    ///
    /// ```
    /// let raw = rust_dmapool::RawBlock::from_bits(0x1_0000_0002);
    /// assert_eq!(raw.into_bits(), 0x1_0000_0002);
    /// ```
    pub const fn from_bits(bits: u64) -> Self {
        // CAST: Each takes its half.
        Self {
            number: (bits >> u32::BITS) as u32,
            block: bits as u32,
        }
    }
}
