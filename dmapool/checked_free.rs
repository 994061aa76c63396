// SPDX-License-Identifier: GPL-2.0

//! Freeing a block by its addresses, for callers who may be wrong about them.

use crate::{
    allocated::Allocated,
    bitmap::mb_after_atomic,
    context,
    page::Page,
    publish::publish_first_free,
    raw_pool::RawPool, //
};
use kernel::{
    dma::{
        Coherent,
        DmaAddress, //
    },
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

/// The address for the CPU of the byte at `offset` in `memory`.
#[inline(always)]
fn address_at(memory: &Coherent<[u8]>, offset: u64) -> *mut u8 {
    // CAST: Both have 64 bits.
    memory
        .as_mut_ptr()
        .cast::<u8>()
        .wrapping_add(offset as usize)
}

impl RawPool<'_> {
    /// Frees the block that is at `address` for the CPU and at `dma` for the device.
    ///
    /// Any context; a few steps, however many pages there are.
    ///
    /// # Errors
    ///
    /// If there is no such block or it is free, [`BadFree`] says why, and so does the log. Nothing
    /// has changed then.
    ///
    /// # Safety
    ///
    /// - Frees of the pool must be checked.
    /// - If there is such a block and it is allocated, it must be the caller's, and not be used
    ///   after this.
    #[inline(always)]
    pub(crate) unsafe fn free_by_address(
        &self,
        address: *mut u8,
        dma: DmaAddress,
    ) -> Result<(), BadFree> {
        // SAFETY: The caller vouches for checked frees.
        let Some((page, index)) = (unsafe { self.find_plain(address, dma) }) else {
            // SAFETY: The caller vouches for the same.
            return unsafe { self.find_and_free(address, dma) };
        };

        // SAFETY: The page has such a block, and the caller does not use it after this.
        match unsafe { page.try_give(index) } {
            Some(false) => Ok(()),
            Some(true) => {
                publish_first_free(page);
                Ok(())
            }
            None => Err(already_free(page, index)),
        }
    }

    /// The page and the index of the block at these addresses, if that is easy to find, and there
    /// is nothing more to do when it is freed than to give its bit back.
    ///
    /// # Safety
    ///
    /// Frees of the pool must be checked.
    #[inline(always)]
    unsafe fn find_plain(&self, address: *mut u8, dma: DmaAddress) -> Option<(Page<'_>, u32)> {
        // SAFETY: By the type invariants there are addresses if frees are checked.
        let addresses = unsafe { self.addresses.as_ref().unwrap_unchecked() };
        let page = addresses.recent.find_plain(dma)?;
        // SAFETY: The page is in the address map.
        let memory = unsafe { page.memory() };
        // An address below the page wraps to a distance at which no block begins.
        let offset = dma.wrapping_sub(memory.dma_address());
        let index = self.spec.geometry.index_in_dense(offset);

        // CAST: Below the number of blocks, which fits a `u32`.
        (page.has_block(index) && address_at(memory, offset) == address)
            .then_some((page, index as u32))
    }

    /// The page in whose memory `dma` lies, and how far into the memory it lies, in bytes.
    ///
    /// If it is one of this CPU's, it becomes a recent one only now and then: another CPU may use a
    /// page that has the same place among these, and they would take that from each other with each
    /// free.
    fn find_page<'a>(&'a self, dma: DmaAddress) -> Option<(Page<'a>, u32)> {
        let addresses = self.addresses.as_ref()?;
        let cpu = self.this_cpu();
        // SAFETY: Only pages are passed that are in the address map.
        let located_in = |page: Page<'a>| Some((page, unsafe { page.offset_of(dma) }?));

        if let Some(found) = addresses.recent.find(dma).and_then(located_in) {
            return Some(found);
        }
        let own = [cpu.alloc_from(), cpu.freed_into()]
            .into_iter()
            // A page of this pool is in the address map before it has blocks.
            .filter(|page| page.blocks() != 0)
            .find_map(located_in);
        let found = own.or_else(|| located_in(addresses.find(dma)?))?;

        if own.is_none() || cpu.note_miss() {
            // SAFETY: It is in the address map.
            unsafe { addresses.recent.note(found.0, dma) };
        }
        Some(found)
    }

    /// Frees the block, or finds out why it cannot be freed.
    ///
    /// # Safety
    ///
    /// As [`RawPool::free_by_address`].
    #[cold]
    #[inline(never)]
    unsafe fn find_and_free(&self, address: *mut u8, dma: DmaAddress) -> Result<(), BadFree> {
        // SAFETY: The caller vouches for the same.
        unsafe { self.try_find_and_free(address, dma) }
            .inspect_err(|&reason| self.report(address, dma, reason))
    }

    /// # Safety
    ///
    /// As [`RawPool::free_by_address`].
    unsafe fn try_find_and_free(&self, address: *mut u8, dma: DmaAddress) -> Result<(), BadFree> {
        let (page, offset) = self.find_page(dma).ok_or(BadFree::Foreign)?;
        // SAFETY: The page is in the address map.
        if address_at(unsafe { page.memory() }, offset.into()) != address {
            return Err(BadFree::Mismatch);
        }
        let geometry = &self.spec.geometry;
        let index = geometry.index_at(offset).ok_or(BadFree::Inside)?;
        let place = self.spec.place_of(index, self.spec.marks);
        if !page.has_block(index.into()) {
            return Err(BadFree::Inside);
        }

        if place.has_slow_free() && page.is_allocated_now(index) {
            // INVARIANT: The block is allocated, and by the requirements it is the caller's.
            self.fill_freed(&Allocated { page, place });
        }
        // SAFETY: The page has such a block, and the caller does not use it after this.
        match unsafe { page.try_give(index) } {
            Some(true) => publish_first_free(page),
            Some(false) => {}
            None => return Err(BadFree::AlreadyFree),
        }
        Ok(())
    }

    fn report(&self, address: *mut u8, dma: DmaAddress, reason: BadFree) {
        if !context::report_ratelimit() {
            return;
        }
        dev_err!(
            self.dev,
            "rust_dmapool: pool {}: cannot free {address:p}/{dma:#x}: {reason}\n",
            crate::c_string::Readable(&self.name)
        );
    }
}

/// Reports that the block `index` of `page` was freed while it was free. What a caller would have
/// to keep for that, the page knows.
#[cold]
#[inline(never)]
fn already_free(page: Page<'_>, index: u32) -> BadFree {
    let reason = BadFree::AlreadyFree;

    // Whoever frees a free block has acquired no bit. They have come to the record by dependency
    // from the table of recent pages, which does not reach to the leaf. So the free that was
    // refused is made a full barrier between the read of the table and what follows.
    mb_after_atomic();
    if let Some(pool) = RawPool::of(page) {
        let offset = pool.geometry().offset_of(index).into();
        // SAFETY: The page is in the address map.
        let memory = unsafe { page.memory() };

        pool.report(
            address_at(memory, offset),
            memory.dma_address().wrapping_add(offset),
            reason,
        );
    }
    reason
}
