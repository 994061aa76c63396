// SPDX-License-Identifier: GPL-2.0

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit, //
};

#[repr(transparent)]
pub struct Opaque<T>(UnsafeCell<MaybeUninit<T>>);

impl<T> Opaque<T> {
    pub fn get(&self) -> *mut T {
        self.0.get().cast()
    }
}
