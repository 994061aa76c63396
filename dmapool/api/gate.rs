// SPDX-License-Identifier: GPL-2.0

//! A gate: whoever is inside is waited for when it is closed, and then nobody comes in any more.

use super::super::{
    allocator::word::read_once,
    sys::prelude::*, //
};
use kernel::sync::Completion;

/// What is set in [`Gate::state`] when it is closed.
const CLOSED: usize = 1;

/// What somebody who is inside adds to it.
const INSIDE: usize = 2;

/// # Invariants
///
/// `state` is [`INSIDE`] for each [`Inside`] that there is, and [`CLOSED`] if the gate is. When it
/// is closed, no more stay. `empty` is completed when the last one has left after that.
#[pin_data]
pub(crate) struct Gate {
    state: Atomic<usize>,
    #[pin]
    empty: Completion,
}

impl Gate {
    pub(crate) fn new() -> impl PinInit<Self> {
        // INVARIANT: It is open, and nobody is inside.
        pin_init!(Self {
            state: Atomic::new(0),
            empty <- Completion::new(),
        })
    }

    /// Goes in, if the gate is open. Any context.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        // Looked at first, so that those who come too late do not keep the last one from being it.
        if read_once(&self.state) & CLOSED != 0 {
            return None;
        }
        // INVARIANT: One more is inside, if only for this look.
        // Relaxed: what is inside was there before the gate was, and `close` orders its end.
        // An overflow would take 2^63 who are inside.
        let state = self.state.fetch_add(INSIDE, Relaxed);
        let inside = Inside(self);

        (state & CLOSED == 0).then_some(inside)
    }

    /// Closes the gate, and waits until all who are inside have left. To be called once. Process
    /// context; may sleep.
    pub(crate) fn close(&self) {
        // INVARIANT: It is closed now.
        if self.state.fetch_add(CLOSED, Relaxed) != 0 {
            self.empty.wait_for_completion();
        }
        // Acquire: what all did before they left (`Inside::drop`) happens before what the caller
        // does. Each of them has changed the state by a read-modify-write operation, so this reads
        // from the release sequence of each.
        self.state.load(Acquire);
    }
}

/// Whoever has this is inside.
pub(crate) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // INVARIANT: This one leaves, and says so if it is the last one.
        // Release: pairs with `Gate::close`.
        if self.0.state.fetch_sub(INSIDE, Release) == INSIDE | CLOSED {
            self.0.empty.complete_all();
        }
    }
}
