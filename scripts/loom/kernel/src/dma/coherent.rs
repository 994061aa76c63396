// SPDX-License-Identifier: GPL-2.0

use super::{
    CoherentView,
    DmaAddress, //
};
use crate::{
    alloc::Flags,
    device::{
        Bound,
        Device, //
    },
    model,
    page::PAGE_SIZE,
    prelude::*, //
};
use core::{
    alloc::Layout,
    marker::PhantomData,
    ptr, //
};

/// Thin, so that a record is as large as in the kernel: what else there is to know is in front of
/// the memory.
pub struct Coherent<T: ?Sized>(*mut u8, PhantomData<*mut T>);

struct Header {
    len: usize,
    dma: DmaAddress,
}

// SAFETY: It owns its memory.
unsafe impl Send for Coherent<[u8]> {}

impl Coherent<[u8]> {
    fn layout(len: usize) -> Layout {
        Layout::from_size_align(PAGE_SIZE + len, PAGE_SIZE).unwrap()
    }

    pub fn zeroed_slice(_dev: &Device<Bound>, len: usize, _flags: Flags) -> Result<Self> {
        let dma = model::begin_dma(len).ok_or(ENOMEM)?;
        let start = model::allocate(Self::layout(len));

        // SAFETY: It is new memory of that layout.
        unsafe {
            start.write_bytes(0, PAGE_SIZE + len);
            start.cast::<Header>().write(Header { len, dma });
        }
        Ok(Self(start, PhantomData))
    }

    /// Where the next memory will be, of `len` bytes; no part of the real crate.
    pub fn foresee(len: usize) -> (*mut u8, DmaAddress) {
        let start = model::foresee(Self::layout(len));

        (start.wrapping_add(PAGE_SIZE), model::next_dma(len))
    }

    pub fn len(&self) -> usize {
        self.header().len
    }

    pub fn as_mut_ptr(&self) -> *mut [u8] {
        model::reach(self.0 as usize);
        ptr::slice_from_raw_parts_mut(self.0.wrapping_add(PAGE_SIZE), self.len())
    }

    pub fn dma_address(&self) -> DmaAddress {
        model::reach(self.0 as usize);
        self.header().dma
    }

    pub fn as_view(&self) -> CoherentView<'_, [u8]> {
        CoherentView::new(self.as_mut_ptr())
    }
}

impl<T: ?Sized> Coherent<T> {
    fn header(&self) -> &Header {
        // SAFETY: Written when the memory was allocated.
        unsafe { &*self.0.cast::<Header>() }
    }
}

impl<T: ?Sized> Drop for Coherent<T> {
    fn drop(&mut self) {
        model::end_dma(self.0, self.header().len);
        model::free(self.0);
    }
}
