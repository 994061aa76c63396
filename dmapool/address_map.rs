// SPDX-License-Identifier: GPL-2.0

//! From a DMA address to the page in which it lies.
//!
//! A [`Block`](crate::Block) knows its page. A caller in C has two addresses, and they may be
//! wrong. An xarray finds the page without a lock, in a few steps however many pages there are.

use crate::{
    geometry::Geometry,
    gfp,
    page::{
        Page,
        Record, //
    },
    recent_pages::RecentPages,
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
    fn rust_dmapool_xa_init(xa: *mut bindings::xarray);
    fn rust_dmapool_xa_store(
        xa: *mut bindings::xarray,
        pfn: usize,
        entry: *mut c_void,
        gfp: bindings::gfp_t,
    ) -> c_int;
}

/// The pages of a pool by DMA address.
///
/// # Invariants
///
/// Each entry of `all` is a [`Record`] of the pool that this belongs to, at each page frame, in the
/// device's address space, that the record's memory covers. It keeps that memory as long as the
/// pool lives.
pub(crate) struct AddressMap {
    all: Pin<KBox<Opaque<bindings::xarray>>>,
    /// What was found lately, for whoever asks there first.
    pub(crate) recent: RecentPages,
}

// SAFETY: An xarray may be used by any number of threads, and destroyed by any.
unsafe impl Send for AddressMap {}
// SAFETY: As above.
unsafe impl Sync for AddressMap {}

/// The number of the page frame in which an address lies, as the device sees it.
fn dma_pfn(dma: DmaAddress) -> usize {
    // CAST: Both have 64 bits.
    (dma >> PAGE_SHIFT) as usize
}

impl AddressMap {
    /// Process context; may sleep. [`RecentPages::find_plain`] finds nothing unless `plain`.
    pub(crate) fn new(geometry: &Geometry, plain: bool) -> Result<Self> {
        // SAFETY: The function initializes what it is given.
        let init = unsafe {
            pin_init::pin_init_from_closure::<_, Error>(|slot: *mut Opaque<bindings::xarray>| {
                rust_dmapool_xa_init(slot.cast());
                Ok(())
            })
        };

        // INVARIANT: There is no entry.
        Ok(Self {
            all: KBox::pin_init(init, GFP_KERNEL)?,
            recent: RecentPages::new(geometry, plain)?,
        })
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
        let mut pfn = dma_pfn(memory.dma_address());

        while pfn <= dma_pfn(last) {
            // INVARIANT: The caller vouches for `page` and its memory.
            // SAFETY: The xarray is initialized, and a record is aligned as entries must be.
            to_result(unsafe {
                rust_dmapool_xa_store(
                    self.all.get(),
                    pfn,
                    page.as_raw().as_ptr().cast(),
                    gfp::to_raw(flags),
                )
            })?;
            pfn = pfn.wrapping_add(1);
        }
        self.recent.make_room(flags);
        Ok(())
    }

    /// The page in whose memory `dma` lies. Any context.
    ///
    /// The record is seen as it was when it was entered: `xa_load()` reads like
    /// `rcu_dereference()`.
    pub(crate) fn find(&self, dma: DmaAddress) -> Option<Page<'_>> {
        // SAFETY: The xarray is initialized.
        let entry = NonNull::new(unsafe { bindings::xa_load(self.all.get(), dma_pfn(dma)) })?;

        // SAFETY: By the type invariants this is a record, which lives as long as the pool.
        Some(unsafe { Page::from_raw(entry.cast::<Record>()) })
    }
}

impl Drop for AddressMap {
    fn drop(&mut self) {
        // SAFETY: The xarray is initialized, and nobody uses it any more.
        unsafe { bindings::xa_destroy(self.all.get()) };
    }
}
