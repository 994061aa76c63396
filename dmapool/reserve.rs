// SPDX-License-Identifier: GPL-2.0

//! The reserve of a pool: blocks that are kept back for allocations that may not wait.
//!
//! They are allocated as far as their pages know. Each lies in a slot, and two words of bits say
//! which slots hold a block and which are empty. Taking and giving these bits is all the order that
//! there is, so the reserve may be used in any context.

use crate::{
    bitmap::{
        lowest,
        Word,
        WORD_BITS, //
    },
    block::Taken,
    page::Page, //
};
use core::{
    array,
    cell::UnsafeCell, //
};
use kernel::prelude::*;

/// As many slots as a word has bits.
///
/// # Invariants
///
/// - A bit of `filled` is set if its slot holds a block, one of `empty` if it holds none; never
///   both.
/// - Who has taken a bit of either, and not given it to the other, is the only one to access the
///   slot.
struct Group {
    filled: Word,
    empty: Word,
    slots: [UnsafeCell<Option<Taken<'static>>>; WORD_BITS as usize],
}

// SAFETY: By the type invariants one thread at a time accesses a slot, and blocks may be freed by
// any.
unsafe impl Send for Group {}
// SAFETY: As above.
unsafe impl Sync for Group {}

/// See the module.
///
/// # Invariants
///
/// The blocks are of the pool that the reserve belongs to, which takes them out before its pages
/// go.
pub(crate) struct Reserve {
    groups: Pin<KBox<[Group]>>,
    min_nr: usize,
}

impl Reserve {
    /// An empty reserve for `min_nr` blocks. Process context; may sleep.
    pub(crate) fn new(min_nr: usize) -> Result<Self> {
        let groups = min_nr.div_ceil(WORD_BITS as usize);
        let group = |number: usize| {
            // CAST: What is left for one group fits.
            let slots = min_nr
                .saturating_sub(number.saturating_mul(WORD_BITS as usize))
                .min(WORD_BITS as usize) as u32;

            // INVARIANT: All slots are empty.
            Ok::<_, Error>(Group {
                filled: Word::new(0),
                empty: Word::new(lowest(slots)),
                slots: array::from_fn(|_| UnsafeCell::new(None)),
            })
        };

        Ok(Self {
            // More than can be had is an error, and no reason for a warning.
            groups: KBox::pin_slice(group, groups, GFP_KERNEL | __GFP_NOWARN)?,
            min_nr,
        })
    }

    /// How many blocks it is to hold; 0 if the pool has no reserve.
    pub(crate) fn min_nr(&self) -> usize {
        self.min_nr
    }

    /// How many blocks it holds; a snapshot.
    pub(crate) fn len(&self) -> usize {
        // CAST: At most 64 a group.
        self.groups.iter().fold(0, |sum, group| {
            sum.wrapping_add(group.filled.count() as usize)
        })
    }

    /// Whether it holds less than it should; a snapshot.
    pub(crate) fn is_short(&self) -> bool {
        self.groups.iter().any(|group| !group.empty.is_empty())
    }

    /// Takes a block, if there is one. Any context.
    ///
    /// Taking the bit acquires what [`Reserve::put`] released: the slot, and the block.
    pub(crate) fn take(&self) -> Option<Taken<'_>> {
        for group in self.groups.iter() {
            let Some(bit) = group.filled.take() else {
                continue;
            };
            let taken = group.slots.get(bit as usize).and_then(|slot| {
                // SAFETY: By the type invariants nobody else accesses the slot.
                unsafe { (*slot.get()).take() }
            });

            // INVARIANT: The slot holds nothing.
            group.empty.give(bit);
            return taken;
        }
        None
    }

    /// Keeps `taken` if there is room for it. Any context.
    ///
    /// # Safety
    ///
    /// The block must be of the pool that this belongs to. If it is kept, it must not be used after
    /// this.
    pub(crate) unsafe fn put(&self, taken: &Taken<'_>) -> bool {
        for group in self.groups.iter() {
            let Some(bit) = group.empty.take() else {
                continue;
            };
            if let Some(slot) = group.slots.get(bit as usize) {
                // SAFETY: The page comes from a page, and the pool takes the block out of its
                // reserve before the page goes.
                let page = unsafe { Page::from_raw(taken.page.as_raw()) };
                // INVARIANT: The block stays taken, and the caller gives it up.
                let taken = Taken {
                    page,
                    place: taken.place,
                };

                // SAFETY: By the type invariants nobody else accesses the slot.
                unsafe { *slot.get() = Some(taken) };
            }
            // INVARIANT: The slot holds a block.
            group.filled.give(bit);
            return true;
        }
        false
    }
}
