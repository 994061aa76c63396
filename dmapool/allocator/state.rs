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
/// The layout is that of a type, which is aligned to [`MOST_ALIGN`] at most. `make` makes so many
/// of them where there is room, one after the other, and `end` ends them.
#[derive(Clone, Copy)]
pub(crate) struct StateLayout {
    layout: Layout,
    pub(crate) make: unsafe fn(NonNull<u8>, usize),
    pub(crate) end: unsafe fn(NonNull<u8>, usize),
}

/// # Safety
///
/// There must be room for `count` values from `first` on.
unsafe fn make<S: Default>(first: NonNull<u8>, count: usize) {
    for index in 0..count {
        // SAFETY: The caller vouches for it.
        unsafe { first.cast::<S>().add(index).write(S::default()) };
    }
}

/// # Safety
///
/// There must be `count` values from `first` on, which are not used after this.
unsafe fn end<S>(first: NonNull<u8>, count: usize) {
    // SAFETY: The caller vouches for it.
    unsafe { NonNull::slice_from_raw_parts(first.cast::<S>(), count).drop_in_place() };
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
            make: make::<S>,
            end: end::<S>,
        }
    }

    /// That of `count` values, one after the other.
    pub(crate) fn array(&self, count: u32) -> Result<Layout> {
        // CAST: Widening. A type's size is a multiple of its alignment.
        let size = self.layout.size().saturating_mul(count as usize);

        Layout::from_size_align(size, self.layout.align()).map_err(|_| EOVERFLOW)
    }
}
