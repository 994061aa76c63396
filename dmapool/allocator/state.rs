// SPDX-License-Identifier: GPL-2.0

//! What a driver has beside each block: a value in ordinary memory, in the slab's record. It is
//! made and ended with that, and stays while blocks are allocated and freed.

use super::super::sys::prelude::*;
use core::alloc::Layout;

/// A value is aligned to so many bytes at most.
pub(crate) const MOST_ALIGN: usize = 64;

/// Of which type these values are, as far as the allocator must know.
///
/// # Invariants
///
/// The layout is that of a type, which is aligned to [`MOST_ALIGN`] at most. `make` makes one where
/// there is room, and `drop` ends one; each is there if it has anything to do.
#[derive(Clone, Copy)]
pub(crate) struct StateLayout {
    layout: Layout,
    make: Option<unsafe fn(NonNull<u8>)>,
    drop: Option<unsafe fn(NonNull<u8>)>,
}

/// # Safety
///
/// There must be room for an `S` at `state`.
unsafe fn make_state<S: Default>(state: NonNull<u8>) {
    // SAFETY: The caller vouches for it.
    unsafe { state.cast::<S>().write(S::default()) };
}

/// # Safety
///
/// `state` must be an `S`, and not be used after this.
unsafe fn drop_state<S>(state: NonNull<u8>) {
    // SAFETY: The caller vouches for it.
    unsafe { state.cast::<S>().drop_in_place() };
}

impl StateLayout {
    pub(crate) const fn of<S: Default>() -> Self {
        const {
            assert!(
                align_of::<S>() <= MOST_ALIGN,
                "state beside a block is aligned too much"
            )
        };

        // INVARIANT: `S` is such a type.
        Self {
            layout: Layout::new::<S>(),
            make: Some(make_state::<S>),
            drop: if mem::needs_drop::<S>() {
                Some(drop_state::<S>)
            } else {
                None
            },
        }
    }

    /// Nothing.
    pub(crate) const fn none() -> Self {
        // INVARIANT: There is nothing to make.
        Self {
            layout: Layout::new::<()>(),
            make: None,
            drop: None,
        }
    }

    /// That of `count` values, one after the other.
    pub(crate) fn array(&self, count: u32) -> Result<Layout> {
        // CAST: Widening. A type's size is a multiple of its alignment.
        let size = self.layout.size().saturating_mul(count as usize);

        Layout::from_size_align(size, self.layout.align()).map_err(|_| EOVERFLOW)
    }

    /// Value `index` of those that begin at `first`.
    ///
    /// # Safety
    ///
    /// There must be so many.
    #[inline]
    pub(crate) unsafe fn at(&self, first: NonNull<u8>, index: u32) -> NonNull<u8> {
        // SAFETY: The caller vouches for it, so this does not overflow either.
        // CAST: Widening.
        unsafe { first.byte_add(self.layout.size().wrapping_mul(index as usize)) }
    }

    /// Makes `count` values, the first one at `first`.
    ///
    /// # Safety
    ///
    /// There must be room for so many.
    pub(crate) unsafe fn make(&self, first: NonNull<u8>, count: u32) {
        // SAFETY: By the type invariants this makes a value, and the caller has room for it.
        unsafe { self.each(self.make, first, count) };
    }

    /// Ends `count` values, the first one at `first`.
    ///
    /// # Safety
    ///
    /// There must be so many, which are not used after this.
    pub(crate) unsafe fn end(&self, first: NonNull<u8>, count: u32) {
        // SAFETY: By the type invariants this ends a value, which the caller has.
        unsafe { self.each(self.drop, first, count) };
    }

    /// # Safety
    ///
    /// `act`, if it is there, must be good for `count` places from `first` on.
    unsafe fn each(&self, act: Option<unsafe fn(NonNull<u8>)>, first: NonNull<u8>, count: u32) {
        let Some(act) = act else {
            return;
        };

        for index in 0..count {
            // SAFETY: The caller vouches for it.
            unsafe { act(self.at(first, index)) };
        }
    }
}
