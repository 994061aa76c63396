// SPDX-License-Identifier: GPL-2.0

//! One machine word of a bitmap, and the atomic operations that the pool is made of.
//!
//! A set bit means "there is something here": a free block in a page, a page with free blocks, a
//! node with such pages below it. Whoever clears a bit has *taken* what it stands for, and until it
//! is *given* back nobody else can.
//!
//! This file knows nothing of pages or DMA, and never loops over more than one word.

use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        AtomicType,
        Release, //
    }, //
};

// On 32-bit kernels `read_once()` of a word would be two loads.
static_assert!(cfg!(CONFIG_64BIT));

/// Reads `atomic` as C's `READ_ONCE()` does: what `load(Relaxed)` means, without the call of a C
/// helper that it is.
#[inline(always)]
pub(crate) fn read_once<T: AtomicType>(atomic: &Atomic<T>) -> T {
    // SAFETY: The pointer is valid and aligned. A volatile read is atomic, as for `READ_ONCE()`.
    unsafe { atomic.as_ptr().read_volatile() }
}

// `dmapool/helpers.c`
extern "C" {
    fn rust_dmapool_mb_after_atomic();
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

/// The numbers of the bits that are set, lowest first.
pub(crate) struct Bits(u64);

impl Iterator for Bits {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let bits = self.0;

        self.0 = bits & bits.wrapping_sub(1);
        (bits != 0).then(|| bits.trailing_zeros())
    }
}

/// The `count` lowest bits; all if that is more than there are.
pub(crate) fn lowest(count: u32) -> u64 {
    u64::MAX
        .checked_shr(WORD_BITS.saturating_sub(count))
        .unwrap_or(0)
}

/// The lowest bit that is set in `bits` from bit `from` on.
#[inline]
fn first_from(bits: u64, from: u32) -> Option<u32> {
    let bits = bits & u64::MAX.checked_shl(from).unwrap_or(0);

    (bits != 0).then(|| bits.trailing_zeros())
}

/// 64 bits, each of which can be taken by one thread and given back by another.
#[repr(transparent)]
pub(crate) struct Word(Atomic<u64>);

impl Word {
    /// A word with the bits of `bits` set.
    pub(crate) const fn new(bits: u64) -> Self {
        Self(Atomic::new(bits))
    }

    /// Takes the lowest set bit. `None` if no bit is set.
    #[inline]
    pub(crate) fn take(&self) -> Option<u32> {
        self.take_from(0)
    }

    /// Takes the lowest set bit from bit `from` on. `None` if no such bit is set.
    ///
    /// Acquire: what the thread that gave the bit did before that ([`Word::give`], [`Word::set`],
    /// [`Word::fill`]) happens before what the caller does with it. Other threads may have taken
    /// or given other bits in between; those are read-modify-write operations too, so they
    /// continue the release sequence and the pairing holds. The first read can be relaxed: its
    /// value is only a guess that the exchange confirms.
    #[inline]
    pub(crate) fn take_from(&self, from: u32) -> Option<u32> {
        let mut bits = read_once(&self.0);

        loop {
            let bit = first_from(bits, from)?;

            match self
                .0
                .cmpxchg(bits, bits & !1u64.wrapping_shl(bit), Acquire)
            {
                Ok(_) => return Some(bit),
                Err(now) => bits = now,
            }
        }
    }

    /// Takes the lowest set bit, if there is one and nobody else takes it just now. Returns its
    /// number in an array of words in which this one begins with bit `first`.
    ///
    /// Acquire: as [`Word::take_from`].
    #[inline(always)]
    pub(crate) fn try_take(&self, first: u32) -> Option<u32> {
        let bits = read_once(&self.0);
        if bits == 0 {
            return None;
        }
        let number = first | bits.trailing_zeros();
        // Of the number, only what is within the word counts.
        let mask = 1u64.wrapping_shl(number);

        (self.fetch_andnot_acquire(mask) & mask != 0).then_some(number)
    }

    /// The same, but returns what `what_of` makes of the number, and calls `met` if somebody else
    /// has changed the word meanwhile.
    ///
    /// To notice that, all bits have to be remembered across the operation. `what_of` comes first,
    /// so that the number has not. Who need not know, calls [`Word::try_take`].
    ///
    /// Acquire: as [`Word::take_from`].
    #[inline(always)]
    pub(crate) fn try_take_noting<R>(
        &self,
        first: u32,
        what_of: impl FnOnce(u32) -> R,
        met: impl FnOnce(),
    ) -> Option<R> {
        let bits = read_once(&self.0);
        if bits == 0 {
            return None;
        }
        let number = first | bits.trailing_zeros();
        let what = what_of(number);
        let before = self.fetch_andnot_acquire(1u64.wrapping_shl(number));

        if before != bits {
            met();
            let lowest = bits & bits.wrapping_neg();
            if before & lowest == 0 {
                return None;
            }
        }
        Some(what)
    }

    /// Takes up to `most` set bits, the lowest ones, and returns them as a mask. Empty if no bit is
    /// set.
    ///
    /// Acquire: as [`Word::take_from`].
    pub(crate) fn take_many(&self, most: usize) -> Bits {
        let mut bits = read_once(&self.0);

        while bits != 0 {
            let mut left = bits;
            if most >= bits.count_ones() as usize {
                left = 0;
            } else {
                for _ in 0..most {
                    left &= left.wrapping_sub(1);
                }
            }
            match self.0.cmpxchg(bits, left, Acquire) {
                Ok(_) => return Bits(bits & !left),
                Err(now) => bits = now,
            }
        }
        Bits(0)
    }

    /// The bits that are set; a snapshot.
    ///
    /// Relaxed: a guess.
    pub(crate) fn bits(&self) -> u64 {
        read_once(&self.0)
    }

    /// Takes all of `bits` if they are what the word consists of. Returns whether it did.
    ///
    /// Acquire: as [`Word::take_from`], for each of the bits.
    pub(crate) fn take_all(&self, bits: u64) -> bool {
        self.0.cmpxchg(bits, 0, Acquire).is_ok()
    }

    /// Gives back all of `bits`, which the caller took.
    ///
    /// Release: as [`Word::give`].
    pub(crate) fn give_all(&self, bits: u64) {
        self.0.fetch_add(bits, Release);
    }

    /// Gives back `bit`, which the caller took. Returns whether no bit was set before.
    ///
    /// The bit is clear and only its taker may set it, so an addition is as good as an "or", and
    /// is what the kernel's atomics offer.
    ///
    /// Release: all that the caller did with what the bit stands for happens before the next
    /// [`Word::take`] of it.
    #[inline]
    pub(crate) fn give(&self, bit: u32) -> bool {
        self.0.fetch_add(1u64.wrapping_shl(bit), Release) == 0
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

    /// Sets `bit`, whether it is set or not. Returns whether no bit was set before.
    ///
    /// Release, and always a read-modify-write even if there is nothing to change: a thread that
    /// clears the bit after this call must see all that led to the call, and it does so by reading
    /// from this very operation or from one that follows it in the word's modification order.
    pub(crate) fn set(&self, bit: u32) -> bool {
        let mask = 1u64.wrapping_shl(bit);

        self.fetch_or_release(mask) == 0
    }

    /// Clears `bit`, whether it is set or not.
    ///
    /// Acquire: see [`Word::set`]. The caller must look again, after this, at what the bit stood
    /// for, and set it again if there is something.
    pub(crate) fn clear(&self, bit: u32) {
        let mask = 1u64.wrapping_shl(bit);

        self.fetch_andnot_acquire(mask);
    }

    /// Makes `bits` the set bits of a word of which the caller has every bit.
    ///
    /// Release: what the caller did before is visible to those who take a bit.
    pub(crate) fn fill(&self, bits: u64) {
        self.0.store(bits, Release);
    }

    /// The lowest set bit from bit `from` on, left as it is.
    ///
    /// Acquire: what was done before the bit was set is visible to the caller.
    pub(crate) fn first_from(&self, from: u32) -> Option<u32> {
        first_from(self.0.load(Acquire), from)
    }

    /// Whether no bit is set.
    ///
    /// Relaxed: callers who need an order have it from the operation before.
    pub(crate) fn is_empty(&self) -> bool {
        read_once(&self.0) == 0
    }

    /// How many bits are set; a snapshot.
    ///
    /// Acquire: whoever finds a bit set may rely on its giver being done with it.
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Acquire).count_ones()
    }

    /// Whether `bit` is set; a snapshot.
    pub(crate) fn contains(&self, bit: u32) -> bool {
        read_once(&self.0) & 1u64.wrapping_shl(bit) != 0
    }

    // What `Atomic` does not have. Each is a read-modify-write even if there is nothing to change,
    // and returns what was there before.

    /// Sets the bits of `mask`.
    #[inline(always)]
    fn fetch_or_release(&self, mask: u64) -> u64 {
        let word = self.0.as_ptr().cast();

        // SAFETY: The pointer is valid and aligned, and an `atomic64_t` is 64 bits and no more.
        // CAST: All bits stay what they are, there and back.
        unsafe { bindings::atomic64_fetch_or_release(mask as i64, word) as u64 }
    }

    /// Clears the bits of `mask`.
    #[inline(always)]
    fn fetch_andnot_acquire(&self, mask: u64) -> u64 {
        let word = self.0.as_ptr().cast();

        // SAFETY: As above.
        // CAST: As above.
        unsafe { bindings::atomic64_fetch_andnot_acquire(mask as i64, word) as u64 }
    }
}
