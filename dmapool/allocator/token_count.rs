// SPDX-License-Identifier: GPL-2.0

//! A count for each block, out of the device's reach, makes a token or an address good once. It is
//! odd while the block is out, and a token holds that odd number. So the token is good until
//! somebody takes the block back, and then never again.

use super::super::sys::prelude::*;
use super::word::read_once;

/// What is set in a count while its block is out.
const OUT: u32 = 1;

/// How often a block went out and came back.
///
/// It wraps after 2^31 round trips; only then is an old token good again.
///
/// # Invariants
///
/// The count is odd if and only if the block is allocated and nobody owns it but by a token or its
/// address. Whoever makes an odd count even owns the block. Only the block's owner changes an even
/// count.
#[repr(transparent)]
pub(crate) struct TokenCount(Atomic<u32>);

impl TokenCount {
    /// Makes `count` of them at `first`, of blocks that are not out.
    ///
    /// They begin at random, so that a token of one block says nothing of another one's, of this
    /// pool or any other. Any context.
    ///
    /// # Safety
    ///
    /// There must be memory for that many at `first`, which nobody else uses yet.
    pub(crate) unsafe fn init(first: NonNull<Self>, count: usize) {
        // SAFETY: The caller has that much memory for itself.
        unsafe {
            bindings::get_random_bytes(
                first.as_ptr().cast(),
                count.saturating_mul(size_of::<Self>()),
            )
        };
        for index in 0..count {
            // INVARIANT: The count is even, as no block is out.
            // SAFETY: The count lies in that memory, all bytes of which are initialized now.
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
        // Nobody but the block's owner, who is the caller, changes an even count.
        let number = read_once(&self.0).wrapping_add(OUT);

        // INVARIANT: The count was even, and the owner has just given up the block.
        self.0.store(number, Release);
        number
    }

    /// Takes the block back, if it is out under this number, or, if there is none, under whatever
    /// number. Then the caller owns it.
    ///
    /// Acquire: pairs with [`TokenCount::let_out`].
    pub(crate) fn take_back(&self, number: Option<u32>) -> bool {
        // Should it come back and go out again after this look, that was not for this caller:
        // whoever acts on what went out last sees its number.
        let number = number.unwrap_or_else(|| read_once(&self.0));

        // INVARIANT: One thread makes an odd count even, and becomes the owner.
        number & OUT != 0
            && self
                .0
                .cmpxchg(number, number.wrapping_add(OUT), Acquire)
                .is_ok()
    }
}
