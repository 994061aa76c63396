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
use core::ptr::NonNull;
use kernel::{
    bindings,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    }, //
};

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
    /// Makes `count` of them at `first`, of blocks that are not out.
    ///
    /// They begin at random, so that a token of one block says nothing of another one's, of this
    /// pool or any other. Any context.
    ///
    /// # Safety
    ///
    /// There must be memory for that many.
    pub(crate) unsafe fn init(first: NonNull<Self>, count: usize) {
        // SAFETY: By the requirements of this function.
        unsafe {
            bindings::get_random_bytes(
                first.as_ptr().cast(),
                count.saturating_mul(size_of::<Self>()),
            )
        };
        for index in 0..count {
            // INVARIANT: Even.
            // SAFETY: As above, and all bytes are initialized.
            unsafe {
                let number = first.add(index).cast::<u32>();

                number.write(number.read() & !OUT);
            }
        }
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
