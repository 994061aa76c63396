// SPDX-License-Identifier: GPL-2.0

//! One machine word of a bitmap, and the atomic operations that the pool is made of.
//!
//! A set bit means "there is something here": a free block in a slab, a slab with free blocks in a
//! chunk. Whoever clears a bit has *taken* what it stands for, and until it is *given* back nobody
//! else can.

use super::super::sys::prelude::*;
use kernel::sync::atomic::AtomicType;

// On 32-bit kernels `read_once()` of a word would be two loads.
static_assert!(cfg!(CONFIG_64BIT));

/// Reads `atomic` as C's `READ_ONCE()` does: what `load(Relaxed)` means, without the call of a C
/// helper that it is.
#[inline(always)]
pub(crate) fn read_once<T: AtomicType>(atomic: &Atomic<T>) -> T {
    // SAFETY: The pointer is valid and aligned. A volatile read is atomic, as for `READ_ONCE()`.
    unsafe { atomic.as_ptr().read_volatile() }
}

// `dmapool/sys/helpers.c`
extern "C" {
    fn rust_dmapool_mb_after_atomic();
    fn rust_dmapool_take_bit(words: *mut Word, bit: usize) -> bool;
}

/// Makes the read-modify-write operation before it a full barrier, as C's `smp_mb__after_atomic()`
/// does. On x86 it is one already.
#[inline(always)]
pub(crate) fn mb_after_atomic() {
    // SAFETY: The function has no requirements.
    unsafe { rust_dmapool_mb_after_atomic() };
}

/// Bits in a [`Word`].
pub(crate) const WORD_BITS: u32 = u64::BITS;

/// The `count` lowest bits; all if that is more than there are.
pub(crate) fn lowest(count: u32) -> u64 {
    u64::MAX
        .checked_shr(WORD_BITS.saturating_sub(count))
        .unwrap_or(0)
}

/// 64 bits, each of which can be taken by one thread and given back by another.
#[repr(transparent)]
pub(crate) struct Word(Atomic<u64>);

impl Word {
    /// A word with the bits of `bits` set.
    pub(crate) const fn new(bits: u64) -> Self {
        Self(Atomic::new(bits))
    }

    /// The bits that are set; a snapshot.
    ///
    /// Relaxed: a guess, or the caller has its order from another operation.
    #[inline(always)]
    pub(crate) fn bits(&self) -> u64 {
        read_once(&self.0)
    }

    /// The same.
    ///
    /// Acquire: what was done before the bits were given happens before what the caller does.
    #[inline]
    pub(crate) fn bits_acquire(&self) -> u64 {
        self.0.load(Acquire)
    }

    /// Takes those bits of `mask` that are set. Returns all that were set before.
    ///
    /// Acquire: what the threads that gave the bits did before that ([`Word::give`],
    /// [`Word::try_give`], [`Word::set`]) happens before what the caller does with them. Others may
    /// have taken or given other bits in between; those are read-modify-write operations too, so
    /// they continue the release sequence and the pairing holds.
    #[inline(always)]
    pub(crate) fn take(&self, mask: u64) -> u64 {
        let word = self.0.as_ptr().cast();

        // SAFETY: The pointer is valid and aligned, and an `atomic64_t` is 64 bits and no more.
        // CAST: All bits stay what they are, there and back.
        unsafe { bindings::atomic64_fetch_andnot_acquire(mask as i64, word) as u64 }
    }

    /// Takes the lowest bit that is set, of those in `mask`. `None` if none is set.
    ///
    /// Acquire: as [`Word::take`]. Each time it loses a bit, another thread has got one.
    pub(crate) fn take_first(&self, mask: u64) -> Option<u32> {
        loop {
            let bits = self.bits() & mask;
            let lowest = bits & bits.wrapping_neg();
            if lowest == 0 {
                return None;
            }
            if self.take(lowest) & lowest != 0 {
                return Some(lowest.trailing_zeros());
            }
        }
    }

    /// Gives back `bits`, which the caller took. Returns whether no bit was set before.
    ///
    /// The bits are clear and only their taker may set them, so an addition is as good as an "or",
    /// and is one instruction.
    ///
    /// Release: all that the caller did with what the bits stand for happens before the next
    /// [`Word::take`] of them.
    #[inline(always)]
    pub(crate) fn give(&self, bits: u64) -> bool {
        self.0.fetch_add(bits, Release) == 0
    }

    /// Gives back `bit`, if it is clear. Returns whether no bit was set before, or `None` if it
    /// was set.
    ///
    /// For callers who may be wrong about having taken it. If they are, the word stays as it is.
    ///
    /// Release: as [`Word::give`].
    #[inline(always)]
    pub(crate) fn try_give(&self, bit: u32) -> Option<bool> {
        let mask = 1u64.wrapping_shl(bit);
        let before = self.fetch_or_release(mask);

        (before & mask == 0).then_some(before == 0)
    }

    /// Sets `bit`, whether it is set or not.
    ///
    /// Release, and always a read-modify-write even if there is nothing to change: a thread that
    /// takes the bit after this call must see all that led to the call, and it does so by reading
    /// from this very operation or from one that follows it in the word's modification order.
    pub(crate) fn set(&self, bit: u32) {
        self.fetch_or_release(1u64.wrapping_shl(bit));
    }

    #[inline(always)]
    fn fetch_or_release(&self, mask: u64) -> u64 {
        let word = self.0.as_ptr().cast();

        // SAFETY: As in `take`.
        // CAST: As in `take`.
        unsafe { bindings::atomic64_fetch_or_release(mask as i64, word) as u64 }
    }
}

/// Takes `bit`, counted from the first of `words`, if it is set. Returns whether it was.
///
/// A full barrier, and so an acquire as that of [`Word::take`]. Where there is one instruction for
/// this, as on x86, it is cheaper than to learn of the whole word.
///
/// # Safety
///
/// The bit must be one of these words'.
#[inline(always)]
pub(crate) unsafe fn take_bit(words: NonNull<Word>, bit: usize) -> bool {
    // SAFETY: The caller vouches for the bit.
    unsafe { rust_dmapool_take_bit(words.as_ptr(), bit) }
}
