// SPDX-License-Identifier: GPL-2.0

//! What all pages of a pool have in common, and find by way of the page table.

use crate::{
    contents::Contents,
    current::Current,
    geometry::Geometry,
    reserve::Reserve, //
};
use core::ptr::NonNull;

/// See the module.
///
/// # Invariants
///
/// `current` points to the pool's current pages, from [`new_current_pages`], which stay as long as
/// the page table.
///
/// [`new_current_pages`]: crate::current::new_current_pages
pub(crate) struct Common {
    pub(crate) geometry: Geometry,
    pub(crate) contents: Contents,
    /// Whether blocks can go out as tokens.
    pub(crate) tokens: bool,
    pub(crate) reserve: Reserve,
    pub(crate) current: NonNull<[Current]>,
}

// SAFETY: `current` is as good as a shared reference, and a [`Current`] may be shared.
unsafe impl Send for Common {}
// SAFETY: As above.
unsafe impl Sync for Common {}

impl Common {
    /// Whether there is more to do when a block is freed than to give its bit back.
    pub(crate) fn frees_slowly(&self) -> bool {
        self.contents.when_freed().is_some() || self.reserve.min_nr() != 0
    }
}
