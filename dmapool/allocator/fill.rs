// SPDX-License-Identifier: GPL-2.0

//! What a pool writes into blocks by itself, when they are allocated and when they are freed:
//! zeroes, as `init_on_alloc` and `init_on_free` have it, or poison, which shows if somebody writes
//! to a block that is free. A block is looked at when it is allocated; those that nobody gets any
//! more, when their memory goes.

use super::super::sys::prelude::*;
use super::{
    super::sys::context,
    free::Allocated,
    layout::Place,
    policy::{
        parameters,
        POISON_FREED,
        RED_ZONE, //
    },
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
        self.policy.always || flags.contains(__GFP_ZERO)
    }

    /// Fills a new block with what it should hold.
    ///
    /// # Safety
    ///
    /// It must be the caller's.
    #[inline(always)]
    pub(crate) unsafe fn fill_new(&self, block: &Allocated<'_>, flags: Flags) {
        if self.policy.debug {
            // Two registers: a reference would have the block be in memory.
            // SAFETY: The caller vouches for the same.
            unsafe { self.fill_debugged(block.slab, block.place, flags) };
        } else {
            // SAFETY: That is how much belongs to each of this pool's blocks.
            unsafe { block.as_ptr().write_bytes(0, self.geometry().stride()) };
        }
    }

    /// The same for a block at these addresses, in a pool in which frees are checked: its slab and
    /// place would take registers of every allocation, for what is rarely looked at.
    ///
    /// # Safety
    ///
    /// As [`RawPool::fill_new`].
    #[inline(always)]
    pub(crate) unsafe fn fill_new_at(&self, first: *mut u8, dma: DmaAddress, flags: Flags) {
        if self.policy.debug {
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

    /// The same, where more is looked at than zeroes: reports if somebody has written to the block
    /// while it was free, and notes whose it is.
    ///
    /// # Safety
    ///
    /// As [`RawPool::fill_new`].
    #[cold]
    #[inline(never)]
    unsafe fn fill_debugged(&self, slab: Slab<'_>, place: Place, flags: Flags) {
        // INVARIANT: The caller has the block, and does not use it meanwhile.
        let block = &Allocated { slab, place };
        let bit = block.bit(&self.layout);
        let (addresses, whole) = (block.addresses(), self.whole());
        let rest = self.geometry().stride().wrapping_sub(whole);

        // SAFETY: The block is the caller's, with a stride of bytes, of which `whole` is a part.
        unsafe {
            if parameters().poison {
                self.look(slab, bit, addresses, 0);
            }
            if let Some(value) = self.policy.on_alloc(flags) {
                addresses.0.write_bytes(value, whole);
            }
            addresses.0.add(whole).write_bytes(RED_ZONE, rest);
            if let Some(track) = block.track(&self.layout) {
                track.begin(addresses.1, flags);
            }
        }
    }

    /// How much of a block is its owner's: all of its stride, but for a red zone.
    fn whole(&self) -> usize {
        if parameters().has_red_zones() {
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
        let (slab, bit, addresses) = (block.slab, block.bit(&self.layout), block.addresses());

        // SAFETY: As in `fill_debugged`.
        unsafe {
            if parameters().has_red_zones() {
                self.look(slab, bit, addresses, self.whole());
            }
            if let Some(value) = self.policy.on_free() {
                addresses.0.write_bytes(value, self.geometry().stride());
            }
        }
    }

    /// Looks at the free blocks of `memory`, which is about to go: that of `page`, of a slab of
    /// this pool. Reports the first that somebody has written to.
    ///
    /// # Safety
    ///
    /// Nobody may get those blocks meanwhile of which `is_free` says so.
    pub(crate) unsafe fn check_free_blocks(
        &self,
        slab: Slab<'_>,
        page: u32,
        memory: &Coherent<[u8]>,
        is_free: impl Fn(u32) -> bool,
    ) {
        if !parameters().poison {
            return;
        }
        let first = self.layout.first_bit(page);
        let bits = (0..self.geometry().blocks_per_page()).map(|index| first | index);

        for bit in bits.filter(|&bit| is_free(bit)) {
            let addresses = self.layout.place_of(bit, 0).addresses(memory);

            // SAFETY: The memory has that block.
            if unsafe { self.look(slab, bit, addresses, 0) } {
                return;
            }
        }
    }

    /// Reports if somebody has written to a block: where it is poisoned while it is free, if `from`
    /// is 0, or else to the red zone that begins there. Returns whether somebody has.
    ///
    /// # Safety
    ///
    /// The block of `bit`, which is none of a twin, must be at these addresses, `from` at most the
    /// stride, and nobody else have the block.
    unsafe fn look(
        &self,
        slab: Slab<'_>,
        bit: u32,
        (first, dma): (*mut u8, DmaAddress),
        from: usize,
    ) -> bool {
        let (value, when) = match from {
            0 => (POISON_FREED, "while it was free"),
            _ => (RED_ZONE, "beyond its end"),
        };
        let stride = self.geometry().stride();
        // SAFETY: A stride belongs to the block.
        let other = unsafe { first_other(first.add(from), stride.wrapping_sub(from), value) };
        let Some(offset) = other.map(|other| from.wrapping_add(other)) else {
            return false;
        };
        let line = offset & !(LINE - 1);

        if context::report_ratelimit() {
            self.err(fmt!(
                "block {first:p}/{dma:#x} was written to at offset {offset} {when}, bytes from \
                 {line} on:"
            ));
            // SAFETY: `line` is not above `offset`, and so below the stride.
            unsafe { dump(first.add(line), stride.wrapping_sub(line).min(MAX_SHOWN)) };
            self.report_owner(slab, bit, dma);
        }
        true
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
