// SPDX-License-Identifier: GPL-2.0

//! The last blocks that were freed wait before anybody gets them, if the module was loaded with
//! `quarantine=N`: for devices that go on to read or write what they have given back.

use super::super::sys::prelude::*;
use super::word::read_once;

/// The most blocks of a pool that wait.
const MOST: u32 = 1 << 16;

/// Blocks that wait, in the order in which they were freed.
///
/// # Invariants
///
/// Each place is 0, or one more than the number of a block that nobody owns, and whose bit is not
/// set. Whoever takes it out has the block.
pub(crate) struct Quarantine {
    places: Pin<KVBox<[Atomic<u64>]>>,
    next: Atomic<u32>,
}

impl Quarantine {
    /// Room for `count` blocks, if that is not 0. Process context; may sleep.
    pub(crate) fn new(count: u32) -> Result<Option<Self>> {
        if count == 0 {
            return Ok(None);
        }
        let place = |_| Ok::<_, Error>(Atomic::new(0));

        // INVARIANT: There are no blocks.
        Ok(Some(Self {
            places: KVBox::pin_slice(place, count.min(MOST) as usize, GFP_KERNEL)?,
            next: Atomic::new(0),
        }))
    }

    /// Has a block wait, and returns the one that has waited longest, if there is one.
    ///
    /// Full: releases the block to whoever takes it out, and acquires the other one.
    pub(crate) fn exchange(&self, name: u32) -> Option<u32> {
        // CAST: There are at most `MOST`.
        let count = self.places.len() as u32;
        // Relaxed: nothing is inferred from the number.
        let next = self.next.fetch_add(1, Relaxed).checked_rem(count)?;
        let place = self.places.get(next as usize)?;

        // INVARIANT: The caller has freed the block, and does not set its bit.
        Self::content(place.xchg(u64::from(name).wrapping_add(1), Full))
    }

    /// Takes all blocks out.
    pub(crate) fn take_all(&self) -> impl Iterator<Item = u32> + '_ {
        // Full: as above.
        self.places
            .iter()
            .filter(|place| read_once(*place) != 0)
            .filter_map(|place| Self::content(place.xchg(0, Full)))
    }

    fn content(place: u64) -> Option<u32> {
        u32::try_from(place.checked_sub(1)?).ok()
    }

    /// How many blocks wait; a snapshot.
    pub(crate) fn count(&self) -> u64 {
        self.places.iter().fold(0, |sum, place| {
            sum.wrapping_add((read_once(place) != 0).into())
        })
    }
}
