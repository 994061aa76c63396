// SPDX-License-Identifier: GPL-2.0

//! A gate: whoever is inside is waited for when it is closed, and then nobody comes in any more.

use super::super::sys::prelude::*;
use kernel::sync::Completion;

/// What is set in [`Gate::state`] when it is closed.
const CLOSED: usize = 1;

/// What somebody who is inside adds to it.
const INSIDE: usize = 2;

/// # Invariants
///
/// `state` is [`INSIDE`] for each that is inside, and [`CLOSED`] if the gate is. When it is closed,
/// no more stay. `empty` is completed when the last one has left after that.
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

    /// Calls `access` inside, if the gate is open. In whatever context that may be called.
    pub(crate) fn pass<R>(&self, access: impl FnOnce() -> R) -> Option<R> {
        // Looked at first, so that those who come too late do not keep the last one from being it.
        if self.state.load(Relaxed) & CLOSED != 0 {
            return None;
        }
        // INVARIANT: One more is inside, if only for this look.
        // Relaxed: what is inside was there before the gate was, and `close` orders its end.
        // An overflow would take 2^63 who are inside.
        let is_open = self.state.fetch_add(INSIDE, Relaxed) & CLOSED == 0;
        let result = is_open.then(access);

        // INVARIANT: This one leaves, and says so if it is the last one.
        // Release: pairs with `close`.
        if self.state.fetch_sub(INSIDE, Release) == INSIDE | CLOSED {
            self.empty.complete_all();
        }
        result
    }

    /// Closes the gate, and waits until all who are inside have left. To be called once. Process
    /// context; may sleep.
    pub(crate) fn close(&self) {
        // INVARIANT: It is closed now.
        if self.state.fetch_add(CLOSED, Relaxed) != 0 {
            self.empty.wait_for_completion();
        }
        // Acquire: what all did before they left (`pass`) happens before what the caller does. Each
        // of them has changed the state by a read-modify-write operation, so this reads from the
        // release sequence of each.
        self.state.load(Acquire);
    }
}
