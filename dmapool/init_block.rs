// SPDX-License-Identifier: GPL-2.0

//! What happens to a new block before its owner gets it: it is filled, and if blocks are poisoned
//! it is checked first for writes that came too late.

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
    prelude::*, //
};

/// The most bytes of a block to show.
const MAX_SHOWN: usize = 256;

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
        let stride = self.geometry().stride();
        let Some(first) = NonNull::new(block.as_ptr()) else {
            return;
        };
        // SAFETY: That many bytes belong to the block.
        let Some(offset) = (unsafe { first_other(first, stride, POISON_FREED) }) else {
            return;
        };
        let line = offset & !(LINE - 1);

        if !context::report_ratelimit() {
            return;
        }
        dev_err!(
            self.dev,
            "rust_dmapool: pool {}: block {:p}/{:#x} was written to at offset {offset} \
             while it was free, bytes from {line} on:\n",
            *self.name,
            first.as_ptr(),
            block.dma_address()
        );
        // SAFETY: `line` is below `stride`, and `stride` bytes belong to the block.
        unsafe { dump(first.add(line), stride.wrapping_sub(line).min(MAX_SHOWN)) };
    }
}
