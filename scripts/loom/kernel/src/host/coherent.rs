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
    prelude::*, //
};
use core::ptr::NonNull;

/// As large as in the kernel, with its fields.
#[allow(dead_code)] // Some are there for their size.
pub struct Coherent<T: ?Sized> {
    dev: NonNull<Device<Bound>>,
    dma_addr: DmaAddress,
    cpu_addr: NonNull<T>,
    dma_attrs: usize,
}

// SAFETY: It owns its memory.
unsafe impl Send for Coherent<[u8]> {}

impl Coherent<[u8]> {
    pub fn zeroed_slice(dev: &Device<Bound>, len: usize, _flags: Flags) -> Result<Self> {
        let start = NonNull::new(model::host_alloc_dma(len)).ok_or(ENOMEM)?;

        Ok(Self {
            dev: dev.into(),
            // There is no device, so that any number will do.
            dma_addr: start.as_ptr().expose_provenance() as DmaAddress,
            cpu_addr: NonNull::slice_from_raw_parts(start.cast(), len),
            dma_attrs: 0,
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.cpu_addr.len()
    }

    #[inline]
    pub fn as_mut_ptr(&self) -> *mut [u8] {
        self.cpu_addr.as_ptr()
    }

    #[inline]
    pub fn dma_address(&self) -> DmaAddress {
        self.dma_addr
    }

    pub fn as_view(&self) -> CoherentView<'_, [u8]> {
        CoherentView::new(self.as_mut_ptr())
    }
}

impl<T: ?Sized> Drop for Coherent<T> {
    fn drop(&mut self) {
        // SAFETY: It owns that memory.
        unsafe { model::host_free_dma(self.cpu_addr.as_ptr().cast()) };
    }
}
