// SPDX-License-Identifier: GPL-2.0

//! The reserve of a pool: blocks that are kept back for allocations that may not wait.
//!
//! To their pages they are allocated. Each lies in a slot, and two bitmaps say which slots hold a
//! block and which are empty. Whoever takes a bit of one may use the slot, and gives it to the
//! other. There is no other order, so the reserve may be used in any context.

use crate::{
    allocated::Allocated,
    bitmap::{
        lowest,
        mb_after_atomic,
        Word,
        WORD_BITS, //
    },
    page::Page, //
};
use core::cell::UnsafeCell;
use kernel::{
    prelude::*,
    sync::{
        atomic::Full,
        barrier::smp_mb, //
    }, //
};

type Slot = UnsafeCell<Option<Allocated<'static>>>;

/// Blocks that are kept back, as far as there are any.
///
/// # Invariants
///
/// - A bit of `filled` is set only if its slot holds a block, one of `empty` only if it holds none.
/// - Whoever has taken a bit of either, and not given it to the other, is the only one to access
///   the slot.
/// - The blocks are of the pool that the reserve belongs to, which takes them out before its pages
///   go.
pub(crate) struct Reserve {
    filled: Pin<KBox<[Word]>>,
    empty: Pin<KBox<[Word]>>,
    slots: Pin<KBox<[Slot]>>,
}

// SAFETY: By the type invariants one thread at a time accesses a slot, and blocks may be freed by
// any.
unsafe impl Send for Reserve {}
// SAFETY: As above.
unsafe impl Sync for Reserve {}

/// Words with a bit for each of `count` slots, all set or none.
fn words(count: usize, set: bool) -> Result<Pin<KBox<[Word]>>> {
    let word = |number: usize| {
        let left = count.saturating_sub(number.saturating_mul(WORD_BITS as usize));
        // CAST: No more than 64 matter.
        let bits = lowest(left.min(WORD_BITS as usize) as u32);

        Ok::<_, Error>(Word::new(if set { bits } else { 0 }))
    };

    KBox::pin_slice(word, count.div_ceil(WORD_BITS as usize), GFP_KERNEL)
}

/// Takes a bit of `words`, and returns its number.
fn take_bit(words: &[Word]) -> Option<usize> {
    let mut first = 0usize;

    for word in words {
        if let Some(bit) = word.take() {
            return Some(first.wrapping_add(bit as usize));
        }
        first = first.wrapping_add(WORD_BITS as usize);
    }
    None
}

/// Gives back bit `number`, which the caller has taken from either array.
fn give_to(words: &[Word], number: usize) {
    if let Some(word) = words.get(number / WORD_BITS as usize) {
        // CAST: Below 64.
        word.give((number % WORD_BITS as usize) as u32);
    }
}

impl Reserve {
    /// An empty reserve for `min_nr` blocks, at most [`Options::MOST_RESERVED`]. Process context;
    /// may sleep.
    ///
    /// [`Options::MOST_RESERVED`]: crate::Options::MOST_RESERVED
    pub(crate) fn new(min_nr: usize) -> Result<Self> {
        let slot = |_| Ok::<_, Error>(UnsafeCell::new(None));

        // INVARIANT: All slots are empty.
        Ok(Self {
            filled: words(min_nr, false)?,
            empty: words(min_nr, true)?,
            slots: KBox::pin_slice(slot, min_nr, GFP_KERNEL)?,
        })
    }

    /// How many blocks it is to hold; 0 if the pool has no reserve.
    pub(crate) fn min_nr(&self) -> usize {
        self.slots.len()
    }

    /// How many blocks it holds; a snapshot.
    pub(crate) fn len(&self) -> usize {
        self.filled
            .iter()
            // CAST: At most 64.
            .fold(0, |sum, word| sum.wrapping_add(word.count() as usize))
    }

    /// Whether it holds less than it should; a snapshot.
    pub(crate) fn is_short(&self) -> bool {
        self.empty.iter().any(|word| !word.is_empty())
    }

    /// Takes a block, if there is one. Any context.
    ///
    /// Taking the bit acquires what [`Reserve::put`] released: the slot, and the block.
    pub(crate) fn take(&self) -> Option<Allocated<'_>> {
        if self.slots.is_empty() {
            return None;
        }
        // A thread that has seen that all blocks of the pages are taken must see what those who
        // took them had put here before. Pairs with the barrier in `put`.
        smp_mb(Full);

        let number = take_bit(&self.filled)?;
        let block = self.slots.get(number).and_then(|slot| {
            // SAFETY: By the type invariants nobody else accesses the slot.
            unsafe { (*slot.get()).take() }
        });

        // INVARIANT: The slot holds nothing.
        give_to(&self.empty, number);
        block
    }

    /// Keeps `block` if there is room for it, and returns whether there was. Any context.
    ///
    /// # Safety
    ///
    /// The block must be of the pool that this belongs to. If it is kept, it must not be used after
    /// this.
    pub(crate) unsafe fn put(&self, block: &Allocated<'_>) -> bool {
        let Some(number) = take_bit(&self.empty) else {
            return false;
        };

        if let Some(slot) = self.slots.get(number) {
            // SAFETY: The pointer comes from a page, and the pool takes the block out of its
            // reserve before the page goes.
            let page = unsafe { Page::from_raw(block.page.as_raw()) };
            // INVARIANT: The block stays allocated, and the caller gives it up.
            let block = Allocated {
                page,
                place: block.place,
            };

            // SAFETY: By the type invariants nobody else accesses the slot.
            unsafe { *slot.get() = Some(block) };
        }
        // INVARIANT: The slot holds a block.
        give_to(&self.filled, number);
        // The block comes before whatever this thread takes from a page after it, for those who see
        // that it did. Pairs with the barrier in `take`.
        mb_after_atomic();
        true
    }
}
