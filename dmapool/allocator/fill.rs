// SPDX-License-Identifier: GPL-2.0

//! What a pool writes into blocks by itself, when they are allocated and when they are freed:
//! zeroes, as `init_on_alloc` and `init_on_free` have it, or poison, which shows if somebody writes
//! to a block that is free. A block is looked at when it is allocated; those that nobody gets any
//! more, when their memory goes.

use super::super::sys::prelude::*;
use super::{
    super::sys::context,
    free::Allocated,
    init::{
        POISON_ALLOCATED,
        POISON_FREED, //
    },
    pool::RawPool, //
};

/// The most bytes of a block to show.
const MAX_SHOWN: usize = 256;

/// Bytes in a line of the dump.
const LINE: usize = 16;

impl RawPool<'_> {
    /// Whether there is something to do to blocks that are allocated with `flags`.
    #[inline(always)]
    pub(crate) fn must_fill(&self, flags: Flags) -> bool {
        self.init.always || flags.contains(__GFP_ZERO)
    }

    /// Fills a new block with what it should hold, and checks what it did hold if blocks are
    /// poisoned.
    #[inline(always)]
    pub(crate) fn fill_new(&self, block: &Allocated<'_>, flags: Flags) {
        // SAFETY: The block is allocated.
        unsafe { self.fill_new_at(block.as_ptr(), block.dma_address(), flags) };
    }

    /// The same for a block at these addresses.
    ///
    /// # Safety
    ///
    /// There must be a block of this pool, that is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn fill_new_at(&self, first: *mut u8, dma: DmaAddress, flags: Flags) {
        if self.init.poison {
            // SAFETY: The caller vouches for the block.
            unsafe { self.fill_poisoned(first, dma, flags) };
        } else {
            // SAFETY: That is how much belongs to each of this pool's blocks.
            unsafe { first.write_bytes(0, self.geometry().stride()) };
        }
    }

    /// Reports if somebody has written to a block while it was free, and fills it.
    ///
    /// # Safety
    ///
    /// As [`RawPool::fill_new_at`].
    #[cold]
    #[inline(never)]
    unsafe fn fill_poisoned(&self, first: *mut u8, dma: DmaAddress, flags: Flags) {
        let value = if self.init.zeroes(flags) {
            0
        } else {
            POISON_ALLOCATED
        };

        // SAFETY: The caller vouches for the block, to which that much belongs.
        unsafe {
            if let Some(offset) = self.late_write(first) {
                self.report_late_write(first, dma, offset);
            }
            first.write_bytes(value, self.geometry().stride());
        }
    }

    /// Looks at the free blocks of memory that is about to go, if blocks are poisoned: reports
    /// the first that somebody has written to.
    ///
    /// The memory must be that of a page of this pool.
    pub(crate) fn check_free_blocks(&self, memory: &Coherent<[u8]>, is_free: impl Fn(u32) -> bool) {
        if !self.init.poison {
            return;
        }
        let geometry = self.geometry();

        for index in (0..geometry.blocks_per_page()).filter(|&index| is_free(index)) {
            let offset = geometry.offset_of(index);
            // CAST: An offset fits a `usize`.
            let first = memory
                .as_mut_ptr()
                .cast::<u8>()
                .wrapping_add(offset as usize);
            let dma = memory.dma_address().wrapping_add(offset.into());

            // SAFETY: The memory has that block.
            unsafe {
                if let Some(at) = self.late_write(first) {
                    return self.report_late_write(first, dma, at);
                }
            }
        }
    }

    /// Where somebody has written to the block at `first` since it was filled with poison.
    ///
    /// # Safety
    ///
    /// A block of this pool must begin there.
    unsafe fn late_write(&self, first: *mut u8) -> Option<usize> {
        // SAFETY: That many bytes belong to the block.
        unsafe { first_other(first, self.geometry().stride(), POISON_FREED) }
    }

    /// # Safety
    ///
    /// A block of this pool must begin at `first`, and `offset` be below the stride.
    unsafe fn report_late_write(&self, first: *mut u8, dma: DmaAddress, offset: usize) {
        let line = offset & !(LINE - 1);

        if !context::report_ratelimit() {
            return;
        }
        self.err(fmt!(
            "block {first:p}/{dma:#x} was written to at offset {offset} while it was free, bytes \
             from {line} on:"
        ));
        let shown = self.geometry().stride().wrapping_sub(line).min(MAX_SHOWN);
        // SAFETY: `line` is not above `offset`, and so below the stride.
        unsafe { dump(first.add(line), shown) };
    }
}

/// The offset of the first byte, of the `size` at `first`, that is not `value`.
///
/// # Safety
///
/// There must be that many bytes.
unsafe fn first_other(first: *mut u8, size: usize, value: u8) -> Option<usize> {
    let first = first.cast_const().cast::<c_void>();
    // SAFETY: The caller vouches for `size` bytes at `first`.
    let other = NonNull::new(unsafe { bindings::memchr_inv(first, value.into(), size) })?;

    Some(other.addr().get().wrapping_sub(first.addr()))
}

/// Prints bytes in hexadecimal, as an error.
///
/// # Safety
///
/// There must be `size` bytes at `first`.
unsafe fn dump(first: *mut u8, size: usize) {
    // SAFETY: The caller vouches for the bytes, and the strings are constants.
    unsafe {
        bindings::print_hex_dump(
            bindings::KERN_ERR.as_ptr().cast(),
            c"rust_dmapool: ".as_char_ptr(),
            bindings::DUMP_PREFIX_OFFSET as c_int,
            16,
            1,
            first.cast_const().cast(),
            size,
            true,
        )
    };
}
