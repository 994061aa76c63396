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
        POISON_FREED,
        RED_ZONE, //
    },
    layout::Place,
    pool::RawPool,
    slab::Slab, //
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

    /// Fills a new block with what it should hold.
    ///
    /// # Safety
    ///
    /// It must be the caller's.
    #[inline(always)]
    pub(crate) unsafe fn fill_new(&self, block: &Allocated<'_>, flags: Flags) {
        if self.init.debug {
            // Two registers: a reference would have the block be in memory.
            // SAFETY: The caller vouches for the same.
            unsafe { self.fill_debugged(block.slab, block.place, flags) };
        } else {
            // SAFETY: That is how much belongs to each of this pool's blocks.
            unsafe { block.as_ptr().write_bytes(0, self.geometry().stride()) };
        }
    }

    /// The same for a block at these addresses, in a pool in which frees are checked.
    ///
    /// # Safety
    ///
    /// As [`RawPool::fill_new`].
    #[inline(always)]
    pub(crate) unsafe fn fill_new_at(&self, first: *mut u8, dma: DmaAddress, flags: Flags) {
        if self.init.debug {
            // SAFETY: The caller vouches for the same.
            unsafe { self.fill_debugged_at(first, dma, flags) };
        } else {
            // SAFETY: As above.
            unsafe { first.write_bytes(0, self.geometry().stride()) };
        }
    }

    /// # Safety
    ///
    /// As [`RawPool::fill_new`].
    #[cold]
    #[inline(never)]
    unsafe fn fill_debugged_at(&self, first: *mut u8, dma: DmaAddress, flags: Flags) {
        if let Ok((slab, bit)) = self.find_block(first, dma) {
            // SAFETY: The caller vouches for the same.
            unsafe { self.fill_debugged(slab, self.layout.place_of(bit, 0), flags) };
        }
    }

    /// The same; reports if somebody has written to the block while it was free, and notes whose it
    /// is.
    ///
    /// # Safety
    ///
    /// As [`RawPool::fill_new`].
    #[cold]
    #[inline(never)]
    unsafe fn fill_debugged(&self, slab: Slab<'_>, place: Place, flags: Flags) {
        // INVARIANT: The caller has the block, and does not use it meanwhile.
        let block = &Allocated { slab, place };
        let (first, whole) = (block.as_ptr(), self.whole());
        let rest = self.geometry().stride().wrapping_sub(whole);
        let value = if self.init.zeroes(flags) {
            Some(0)
        } else {
            self.init.poison.then_some(POISON_ALLOCATED)
        };

        // SAFETY: The block is allocated, and a stride belongs to it, of which `whole` is a part.
        unsafe {
            if let Some(offset) = self.late_write(first) {
                self.report_write(block, offset, "while it was free");
            }
            if let Some(value) = value {
                first.write_bytes(value, whole);
            }
            first.add(whole).write_bytes(RED_ZONE, rest);
        }
        self.track(block, flags);
    }

    /// How much of a block is its owner's: all of its stride, but for a red zone.
    fn whole(&self) -> usize {
        if self.init.red_zone {
            self.geometry().size()
        } else {
            self.geometry().stride()
        }
    }

    /// Reports if the owner of `block`, who frees it, has written behind its end, and fills it with
    /// what free blocks hold.
    ///
    /// # Safety
    ///
    /// The block must be the caller's, and not be used after this but to be freed.
    pub(crate) unsafe fn fill_freed(&self, block: &Allocated<'_>) {
        let (first, whole, stride) = (block.as_ptr(), self.whole(), self.geometry().stride());

        // SAFETY: As in `fill_debugged`.
        unsafe {
            if self.init.red_zone {
                let rest = stride.wrapping_sub(whole);

                if let Some(beyond) = first_other(first.add(whole), rest, RED_ZONE) {
                    self.report_write(block, whole.wrapping_add(beyond), "beyond its end");
                }
            }
            if let Some(value) = self.init.on_free() {
                first.write_bytes(value, stride);
            }
        }
    }

    /// Looks at the free blocks of memory that is about to go, if blocks are poisoned: reports
    /// the first that somebody has written to.
    ///
    /// The memory must be that of `page`, of a slab of this pool.
    pub(crate) fn check_free_blocks(
        &self,
        slab: Slab<'_>,
        page: u32,
        memory: &Coherent<[u8]>,
        is_free: impl Fn(u32) -> bool,
    ) {
        if !self.init.poison {
            return;
        }
        let geometry = self.geometry();

        for index in (0..geometry.blocks_per_page()).filter(|&index| is_free(index)) {
            // CAST: An offset fits a `usize`.
            let first = memory
                .as_mut_ptr()
                .cast::<u8>()
                .wrapping_add(geometry.offset_of(index) as usize);

            // SAFETY: The memory has that block.
            if let Some(at) = unsafe { self.late_write(first) } {
                let dma = memory
                    .dma_address()
                    .wrapping_add(geometry.offset_of(index).into());
                let bit = self.layout.first_bit(page) | index;

                // SAFETY: As above.
                return unsafe {
                    self.report_write_at((slab, bit), (first, dma), at, "while it was free")
                };
            }
        }
    }

    /// Where somebody has written to the block at `first` since it was filled with poison.
    ///
    /// # Safety
    ///
    /// A block of this pool must begin there.
    unsafe fn late_write(&self, first: *mut u8) -> Option<usize> {
        if !self.init.poison {
            return None;
        }
        // SAFETY: That many bytes belong to the block.
        unsafe { first_other(first, self.geometry().stride(), POISON_FREED) }
    }

    /// # Safety
    ///
    /// `offset` must be below the stride.
    unsafe fn report_write(&self, block: &Allocated<'_>, offset: usize, when: &str) {
        let bit = block.bit(&self.layout);
        let addresses = (block.as_ptr(), block.dma_address());

        // SAFETY: The block is at these addresses.
        unsafe { self.report_write_at((block.slab, bit), addresses, offset, when) };
    }

    /// # Safety
    ///
    /// The block of that bit must be at these addresses, and `offset` be below the stride.
    unsafe fn report_write_at(
        &self,
        (slab, bit): (Slab<'_>, u32),
        (first, dma): (*mut u8, DmaAddress),
        offset: usize,
        when: &str,
    ) {
        let line = offset & !(LINE - 1);

        if !context::report_ratelimit() {
            return;
        }
        self.err(fmt!(
            "block {first:p}/{dma:#x} was written to at offset {offset} {when}, bytes from {line} \
             on:"
        ));
        let shown = self.geometry().stride().wrapping_sub(line).min(MAX_SHOWN);
        // SAFETY: `line` is not above `offset`, and so below the stride.
        unsafe { dump(first.add(line), shown) };
        self.report_owner(slab, bit, dma);
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
