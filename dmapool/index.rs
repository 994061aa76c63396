// SPDX-License-Identifier: GPL-2.0

//! From a DMA address to the page that it lies in.
//!
//! A block knows its page. A caller in C has two addresses, and they may be wrong. An xarray finds
//! the page without a lock, in a few steps however many pages there are.

use crate::page::{
    Page,
    Record, //
};
use core::ptr::NonNull;
use kernel::{
    alloc::Flags,
    bindings,
    dma::{
        Coherent,
        DmaAddress, //
    },
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    types::Opaque, //
};

// `dmapool/helpers.c`
extern "C" {
    fn rust_dmapool_index_init(xa: *mut bindings::xarray);
    fn rust_dmapool_index_store(
        xa: *mut bindings::xarray,
        index: usize,
        entry: *mut c_void,
        gfp: bindings::gfp_t,
    ) -> c_int;
}

/// The pages of a pool by DMA address.
///
/// # Invariants
///
/// Each entry is a [`Record`] of the pool that this belongs to, at the number of each page of the
/// CPU, as the device sees it, that the record's memory covers. It keeps that memory as long as the
/// pool lives.
pub(crate) struct Index(Pin<KBox<Opaque<bindings::xarray>>>);

// SAFETY: An xarray may be used by any number of threads, and destroyed by any.
unsafe impl Send for Index {}
// SAFETY: As above.
unsafe impl Sync for Index {}

/// Where an address stands in the index.
fn number(dma: DmaAddress) -> usize {
    // CAST: Both have 64 bits.
    (dma >> PAGE_SHIFT) as usize
}

impl Index {
    /// Process context; may sleep.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: The function initializes what it is given.
        let init = unsafe {
            pin_init::pin_init_from_closure::<_, Error>(|slot: *mut Opaque<bindings::xarray>| {
                rust_dmapool_index_init(slot.cast());
                Ok(())
            })
        };

        // INVARIANT: There is no entry.
        Ok(Self(KBox::pin_init(init, GFP_KERNEL)?))
    }

    /// Enters `page` for all of `memory`. Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`]: not all of it could be entered; trying again is possible.
    ///
    /// # Safety
    ///
    /// `memory` must be that of `page`, for as long as the pool lives, and `page` one of the pool.
    pub(crate) unsafe fn insert(
        &self,
        page: Page<'_>,
        memory: &Coherent<[u8]>,
        flags: Flags,
    ) -> Result {
        let last = memory
            .dma_address()
            .wrapping_add(memory.len() as DmaAddress)
            .wrapping_sub(1);
        let mut index = number(memory.dma_address());

        while index <= number(last) {
            // INVARIANT: By the requirements of this function.
            // SAFETY: The xarray is initialized, and a record is aligned as entries must be.
            to_result(unsafe {
                rust_dmapool_index_store(
                    self.0.get(),
                    index,
                    page.as_raw().as_ptr().cast(),
                    raw(flags),
                )
            })?;
            index = index.wrapping_add(1);
        }
        Ok(())
    }

    /// The page in whose memory `dma` lies. Any context.
    ///
    /// The record is seen as it was when it was entered: `xa_load()` reads like
    /// `rcu_dereference()`.
    pub(crate) fn find(&self, dma: DmaAddress) -> Option<Page<'_>> {
        // SAFETY: The xarray is initialized.
        let entry = NonNull::new(unsafe { bindings::xa_load(self.0.get(), number(dma)) })?;

        // SAFETY: By the type invariants this is a record, which lives as long as the pool.
        Some(unsafe { Page::from_raw(entry.cast::<Record>()) })
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // SAFETY: The xarray is initialized, and nobody uses it any more.
        unsafe { bindings::xa_destroy(self.0.get()) };
    }
}

// `Flags` is a `u32` and nothing else, but does not say so.
static_assert!(size_of::<Flags>() == size_of::<bindings::gfp_t>());

/// C's idea of `flags`.
fn raw(flags: Flags) -> bindings::gfp_t {
    // SAFETY: Of the same size, and without padding or invalid values.
    unsafe { core::mem::transmute(flags) }
}

/// Rust's idea of `flags`.
pub(crate) fn flags_from_raw(flags: bindings::gfp_t) -> Flags {
    // SAFETY: As in `raw`.
    unsafe { core::mem::transmute(flags) }
}
