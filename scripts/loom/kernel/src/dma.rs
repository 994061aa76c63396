// SPDX-License-Identifier: GPL-2.0

#[cfg_attr(host, path = "host/coherent.rs")]
mod coherent;

pub use coherent::Coherent;

use crate::io::{
    IoBackend,
    IoCopyable, //
};
use core::marker::PhantomData;

pub type DmaAddress = u64;

pub struct CoherentView<'a, T: ?Sized>(*mut T, PhantomData<&'a T>);

impl<T: ?Sized> CoherentView<'_, T> {
    pub(crate) fn new(memory: *mut T) -> Self {
        Self(memory, PhantomData)
    }
}

pub struct CoherentIoBackend;

impl IoBackend for CoherentIoBackend {
    type View<'a, T: ?Sized + 'a> = CoherentView<'a, T>;

    unsafe fn project_view<'a, T: ?Sized + 'a, U: ?Sized + 'a>(
        _view: CoherentView<'a, T>,
        ptr: *mut U,
    ) -> CoherentView<'a, U> {
        CoherentView(ptr, PhantomData)
    }
}

impl IoCopyable for CoherentIoBackend {
    unsafe fn copy_to_io(view: CoherentView<'_, [u8]>, source: *const u8) {
        // SAFETY: The caller vouches for that many bytes.
        unsafe { view.0.cast::<u8>().copy_from(source, view.0.len()) };
    }

    unsafe fn copy_from_io(view: CoherentView<'_, [u8]>, target: *mut u8) {
        // SAFETY: The caller vouches for that many bytes.
        unsafe { target.copy_from(view.0.cast::<u8>(), view.0.len()) };
    }
}
