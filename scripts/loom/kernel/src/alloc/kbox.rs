// SPDX-License-Identifier: GPL-2.0

use super::{
    AllocError,
    Flags, //
};
use crate::{
    model,
    prelude::*, //
};
use core::{
    alloc::Layout,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr::{
        self,
        NonNull, //
    },
};

pub struct KBox<T: ?Sized>(NonNull<T>);

/// Memory is memory here.
pub type KVBox<T> = KBox<T>;

// SAFETY: It owns a `T`.
unsafe impl<T: Send + ?Sized> Send for KBox<T> {}
// SAFETY: As above.
unsafe impl<T: Sync + ?Sized> Sync for KBox<T> {}

impl<T> KBox<T> {
    pub fn new(value: T, _flags: Flags) -> Result<Self, AllocError> {
        let start = NonNull::new(model::allocate(Layout::new::<T>()).cast::<T>());
        let start = start.ok_or(AllocError)?;

        // SAFETY: It is new memory for a `T`.
        unsafe { start.write(value) };
        Ok(Self(start))
    }

    pub fn into_raw(this: Self) -> *mut T {
        core::mem::ManuallyDrop::new(this).0.as_ptr()
    }

    /// # Safety
    ///
    /// `pointer` must come from [`KBox::into_raw`].
    pub unsafe fn from_raw(pointer: *mut T) -> Self {
        // SAFETY: It does not come as null.
        Self(unsafe { NonNull::new_unchecked(pointer) })
    }

    /// If `init` fails, which none does here, the memory is lost.
    pub fn pin_slice<E>(
        mut init: impl FnMut(usize) -> Result<T, E>,
        len: usize,
        _flags: Flags,
    ) -> Result<Pin<KBox<[T]>>, Error>
    where
        Error: From<E>,
    {
        let layout = Layout::array::<T>(len).map_err(|_| ENOMEM)?;
        let start = model::allocate(layout).cast::<T>();

        for number in 0..len {
            // SAFETY: It is new memory for that many values.
            unsafe { start.add(number).write(init(number)?) };
        }
        let slice = NonNull::new(ptr::slice_from_raw_parts_mut(start, len));
        // SAFETY: It does not move.
        Ok(unsafe { Pin::new_unchecked(KBox(slice.ok_or(ENOMEM)?)) })
    }
}

impl<T: ?Sized> Deref for KBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: It owns a `T`.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for KBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: It owns a `T`.
        unsafe { self.0.as_mut() }
    }
}

impl<T: ?Sized> Drop for KBox<T> {
    fn drop(&mut self) {
        // SAFETY: It owns a `T`, and nobody uses that after this.
        unsafe { ptr::drop_in_place(self.0.as_ptr()) };
        model::free(self.0.as_ptr().cast());
    }
}
