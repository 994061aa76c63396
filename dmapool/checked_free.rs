// SPDX-License-Identifier: GPL-2.0

//! Freeing a block by its addresses, for callers who may be wrong about them.

use crate::{
    allocated::Allocated,
    page::Page,
    publish::publish_first_free,
    raw_pool::RawPool, //
};
use kernel::{
    dma::DmaAddress,
    fmt,
    prelude::*, //
};

/// Why a free by address was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFree {
    /// The pool has no memory at this DMA address.
    Foreign,
    /// The two addresses are not of the same byte.
    Mismatch,
    /// No block begins there.
    Inside,
    /// The block is free.
    AlreadyFree,
}

impl fmt::Display for BadFree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "not of this pool",
            Self::Mismatch => "the DMA address is not that of the address",
            Self::Inside => "no block begins there",
            Self::AlreadyFree => "already free",
        })
    }
}

/// The address for the CPU of the byte at `offset` in the memory of `page`.
///
/// # Safety
///
/// The page must be in the address map of its pool.
#[inline(always)]
unsafe fn address_at(page: Page<'_>, offset: u32) -> *mut u8 {
    // SAFETY: The page is in the address map.
    let first = unsafe { page.memory() }.as_mut_ptr().cast::<u8>();

    // CAST: Widening.
    first.wrapping_add(offset as usize)
}

impl RawPool<'_> {
    /// Frees the block that is at `address` for the CPU and at `dma` for the device.
    ///
    /// Any context; a few steps, however many pages there are.
    ///
    /// # Errors
    ///
    /// If there is no such block or it is free, [`BadFree`] says why, and nothing has changed.
    ///
    /// # Safety
    ///
    /// If there is such a block and it is allocated, it must be the caller's, and not be used after
    /// this.
    #[inline(always)]
    pub(crate) unsafe fn free_by_address(
        &self,
        address: *mut u8,
        dma: DmaAddress,
    ) -> Result<(), BadFree> {
        // SAFETY: The caller vouches for the same.
        unsafe {
            if self.try_free(address, dma) {
                Ok(())
            } else {
                self.find_and_free(address, dma)
            }
        }
    }

    /// Frees the block if nothing is to be done but to give its bit back. Returns whether it did.
    ///
    /// # Safety
    ///
    /// As [`RawPool::free_by_address`].
    #[inline(always)]
    unsafe fn try_free(&self, address: *mut u8, dma: DmaAddress) -> bool {
        let Some((page, offset)) = self
            .addresses
            .as_ref()
            .and_then(|addresses| addresses.find_recent(dma))
        else {
            return false;
        };
        let Some(index) = self.spec.geometry.index_without_gaps(offset) else {
            return false;
        };

        // SAFETY: The page is in the address map.
        if page.has_slow_free() || unsafe { address_at(page, offset) } != address {
            return false;
        }
        // SAFETY: Frees are checked, and the caller does not use the block after this.
        unsafe { page.try_give_more(index) }
    }

    /// Frees the block, or finds out why it cannot be freed.
    ///
    /// # Safety
    ///
    /// As [`RawPool::free_by_address`].
    #[cold]
    #[inline(never)]
    unsafe fn find_and_free(&self, address: *mut u8, dma: DmaAddress) -> Result<(), BadFree> {
        let (page, offset) = self
            .addresses
            .as_ref()
            .and_then(|addresses| addresses.find(dma))
            .ok_or(BadFree::Foreign)?;
        // SAFETY: The page is in the address map.
        if unsafe { address_at(page, offset) } != address {
            return Err(BadFree::Mismatch);
        }
        let place = self.spec.geometry.block_at(offset).ok_or(BadFree::Inside)?;

        if page.has_slow_free() && page.is_allocated_now(place.index()) {
            // INVARIANT: The block is allocated, and by the requirements it is the caller's.
            self.fill_freed(&Allocated { page, place });
        }
        // SAFETY: Frees are checked, and the caller does not use the block after this.
        match unsafe { page.try_give(place.index()) } {
            Some(true) => publish_first_free(page),
            Some(false) => {}
            None if place.index() < page.blocks() => return Err(BadFree::AlreadyFree),
            None => return Err(BadFree::Inside),
        }
        Ok(())
    }
}
