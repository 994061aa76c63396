// SPDX-License-Identifier: GPL-2.0

//! What belongs to a command while the controller works on it, and who may touch that.

use core::{
    cell::UnsafeCell,
    mem,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::sync::atomic::{
    ordering,
    Atomic, //
};

/// Tags are below this: a command id is a tag in its lower bits, and above that a number that
/// changes with each command of that tag. So a completion that comes twice is not taken for that
/// of the next command with the same tag, most of the time.
pub(crate) const MAX_TAGS: u16 = 1 << TAG_BITS;

const TAG_BITS: u32 = 10;

/// Nobody uses the slot. Command ids are 16 bits, so these two are none.
const FREE: u32 = u32::MAX;
/// Somebody has a [`Claim`] on it.
const CLAIMED: u32 = u32::MAX - 1;

/// The place of a tag's command.
///
/// All that says who may touch the value is one word. Whoever changes it to [`CLAIMED`] may, until
/// they store something else: the submitter, from [`FREE`]; and from a command id whoever learns
/// that this command has ended, be it by a completion, by a time-out, or because the device is
/// gone. Only one of them can. A completion with another id claims nothing.
///
/// # Invariants
///
/// Only the one [`Claim`] that exists while `state` is [`CLAIMED`] refers to `value`.
pub(crate) struct Slot<T> {
    state: Atomic<u32>,
    value: UnsafeCell<(u16, T)>,
}

// SAFETY: By the type invariants one thread at a time refers to the value. What one did to it
// happens before what the next one does, because they store `state` with release and change it
// with acquire.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        // INVARIANT: There is no claim.
        Self {
            state: Atomic::new(FREE),
            value: UnsafeCell::new((0, value)),
        }
    }

    #[inline]
    fn claim_from(&self, state: u32) -> Option<Claim<'_, T>> {
        // INVARIANT: Nobody else can have changed the state to `CLAIMED`. There is no claim, not
        // even for a moment, if this thread has not: the drop of one frees the slot.
        self.state
            .cmpxchg(state, CLAIMED, ordering::Acquire)
            .is_ok()
            .then(|| Claim { slot: self })
    }

    /// For a new command.
    #[inline]
    pub(crate) fn claim_free(&self) -> Option<Claim<'_, T>> {
        self.claim_from(FREE)
    }

    /// For the end of the command `id`, if that is what the controller works on.
    #[inline]
    pub(crate) fn claim(&self, id: u16) -> Option<Claim<'_, T>> {
        self.claim_from(id.into())
    }

    /// The id of the command that the controller works on, if it does.
    pub(crate) fn command_id(&self) -> Option<u16> {
        u16::try_from(self.state.load(ordering::Relaxed)).ok()
    }

    /// For the end of whatever command the controller works on, if it does.
    pub(crate) fn claim_any(&self) -> Option<Claim<'_, T>> {
        self.command_id().and_then(|id| self.claim(id))
    }
}

/// The right to touch what a slot holds.
pub(crate) struct Claim<'a, T> {
    slot: &'a Slot<T>,
}

impl<T> Claim<'_, T> {
    /// An id for the next command with this tag.
    #[inline]
    pub(crate) fn next_id(&mut self, tag: u16) -> u16 {
        let (number, _) = self.parts();

        *number = number.wrapping_add(MAX_TAGS);
        *number | tag
    }

    /// Gives the claim up to whoever learns that the command `id` has ended.
    #[inline]
    pub(crate) fn publish(self, id: u16) {
        self.slot.state.store(id.into(), ordering::Release);
        mem::forget(self);
    }

    #[inline]
    fn parts(&mut self) -> &mut (u16, T) {
        // SAFETY: By the type invariants of the slot this is the only claim.
        unsafe { &mut *self.slot.value.get() }
    }
}

impl<T> Drop for Claim<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.slot.state.store(FREE, ordering::Release);
    }
}

impl<T> Deref for Claim<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: By the type invariants of the slot this is the only claim.
        unsafe { &(*self.slot.value.get()).1 }
    }
}

impl<T> DerefMut for Claim<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.parts().1
    }
}
