// SPDX-License-Identifier: GPL-2.0

use super::{
    AllocError,
    Flags,
    NumaNode, //
};
use crate::model;
use core::{
    alloc::Layout,
    ptr::NonNull, //
};

pub trait Allocator {
    fn alloc(layout: Layout, _flags: Flags, _node: NumaNode) -> Result<NonNull<[u8]>, AllocError> {
        let start = NonNull::new(model::allocate(layout)).ok_or(AllocError)?;

        Ok(NonNull::slice_from_raw_parts(start, layout.size()))
    }

    /// # Safety
    ///
    /// `start` must come from [`Allocator::alloc`], and not be used after this.
    unsafe fn free(start: NonNull<u8>, _layout: Layout) {
        model::free(start.as_ptr());
    }
}

pub struct Kmalloc;

impl Allocator for Kmalloc {}
