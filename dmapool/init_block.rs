// SPDX-License-Identifier: GPL-2.0

//! What happens to a new block before its owner gets it: it is filled, and if blocks are poisoned
//! it is checked first for writes that came too late. Blocks that nobody gets any more are checked
//! when their memory goes.

use crate::{
    allocated::Allocated,
    context,
    init::{
        dump,
        first_other,
        POISON_FREED, //
    },
    raw_pool::RawPool, //
};
use core::ptr::NonNull;
use kernel::{
    alloc::Flags,
    dma::{
        Coherent,
        DmaAddress, //
    },
    prelude::*, //
};

/// The most bytes of a block to show.
const MAX_SHOWN: usize = 256;

/// The most blocks to report each time that memory goes.
const MAX_REPORTED: u32 = 4;

/// Bytes in a line of the dump.
const LINE: usize = 16;

impl RawPool<'_> {
    /// Whether there is something to do to blocks that are allocated with `flags`.
    #[inline]
    pub(crate) fn must_init(&self, flags: Flags) -> bool {
        self.init.always || flags.contains(__GFP_ZERO)
    }

    /// Fills a new block with what it should hold, and checks what it did hold if blocks are
    /// poisoned.
    pub(crate) fn init_block(&self, block: &Allocated<'_>, flags: Flags) {
        if self.init.poison {
            self.check_poison(block);
        }
        if let Some(value) = self.init.on_alloc(flags.contains(__GFP_ZERO)) {
            // SAFETY: That is how much belongs to each of this pool's blocks.
            unsafe { block.fill(value, self.geometry().stride()) };
        }
    }

    /// Reports if somebody has written to a block while it was free.
    fn check_poison(&self, block: &Allocated<'_>) {
        let Some(first) = NonNull::new(block.as_ptr()) else {
            return;
        };

        // SAFETY: This is a block.
        unsafe {
            if let Some(offset) = self.late_write(first) {
                self.report_late_write(first, block.dma_address(), offset);
            }
        }
    }

    /// Looks at the free blocks of memory that is about to go, if blocks are poisoned: reports
    /// those that somebody has written to, up to [`MAX_REPORTED`] in all, and counts them in
    /// `found`.
    ///
    /// The memory must be that of a whole page of this pool, or of several that are joined.
    pub(crate) fn check_free_blocks(
        &self,
        memory: &Coherent<[u8]>,
        is_free: impl Fn(u32) -> bool,
        found: &mut u32,
    ) {
        if !self.init.poison {
            return;
        }
        let geometry = self.geometry();
        // CAST: At most 64 pages are joined.
        let blocks = geometry
            .blocks_per_page()
            .wrapping_mul(self.pages_in(memory) as u32);

        for index in (0..blocks).filter(|&index| is_free(index)) {
            let offset = geometry.offset_of(index);
            // CAST: An offset fits a `usize`.
            let first = memory
                .as_mut_ptr()
                .cast::<u8>()
                .wrapping_add(offset as usize);
            let Some(first) = NonNull::new(first) else {
                continue;
            };

            // SAFETY: The memory has that block.
            unsafe {
                let Some(at) = self.late_write(first) else {
                    continue;
                };
                if *found < MAX_REPORTED {
                    let dma = memory.dma_address().wrapping_add(offset.into());

                    self.report_late_write(first, dma, at);
                }
            }
            *found = found.saturating_add(1);
        }
    }

    /// Says how many blocks [`RawPool::check_free_blocks`] has found, if that has not reported all.
    pub(crate) fn report_late_writes(&self, found: u32) {
        if found > MAX_REPORTED && context::report_ratelimit() {
            dev_err!(
                self.dev,
                "rust_dmapool: pool {}: {found} free blocks were written to, of which \
                 {MAX_REPORTED} are shown\n",
                crate::c_string::Readable(&self.name)
            );
        }
    }

    /// Where somebody has written to the block at `first` since it was filled with poison.
    ///
    /// # Safety
    ///
    /// A block of this pool must begin there.
    unsafe fn late_write(&self, first: NonNull<u8>) -> Option<usize> {
        // SAFETY: That many bytes belong to the block.
        unsafe { first_other(first, self.geometry().stride(), POISON_FREED) }
    }

    /// # Safety
    ///
    /// A block of this pool must begin at `first`, and `offset` be below the stride.
    unsafe fn report_late_write(&self, first: NonNull<u8>, dma: DmaAddress, offset: usize) {
        let line = offset & !(LINE - 1);

        if !context::report_ratelimit() {
            return;
        }
        dev_err!(
            self.dev,
            "rust_dmapool: pool {}: block {:p}/{dma:#x} was written to at offset {offset} \
             while it was free, bytes from {line} on:\n",
            crate::c_string::Readable(&self.name),
            first.as_ptr()
        );
        let shown = self.geometry().stride().wrapping_sub(line).min(MAX_SHOWN);
        // SAFETY: `line` is not above `offset`, and so below the stride.
        unsafe { dump(first.add(line), shown) };
    }
}
