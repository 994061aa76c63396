// SPDX-License-Identifier: GPL-2.0

//! What is noted of the owner of a block: from where it was allocated, when and on which CPU, if
//! the module was loaded with `track=1`; and whether its owner has freed it, which with a
//! quarantine its bit does not tell.

use super::super::sys::{
    gfp,
    prelude::*, //
};
use super::{
    policy::parameters,
    word::read_once, //
};
use core::str;
use kernel::types::Opaque;

// `sys/dmapool_debug.c`
extern "C" {
    fn rust_dmapool_note_owner(owner: *mut Owner, dma: DmaAddress, flags: bindings::gfp_t);
    fn rust_dmapool_describe_owner(owner: *const Owner, text: *mut u8, size: usize) -> usize;
    fn rust_dmapool_print_stack(stack: u32);
}

/// Who has allocated a block; as in C.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Owner {
    /// The address that has called into this module.
    pub(crate) site: usize,
    /// By the clock of the log, in nanoseconds; 0 if nobody has.
    pub(crate) when: u64,
    /// Where the block was then.
    pub(crate) dma: DmaAddress,
    /// The whole stack, as the kernel keeps it, or 0.
    stack: u32,
    cpu: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 160];
        // SAFETY: It writes so many bytes at most.
        let len = unsafe { rust_dmapool_describe_owner(self, text.as_mut_ptr(), text.len()) };
        let text = text.get(..len).and_then(|text| str::from_utf8(text).ok());

        f.write_str(text.unwrap_or("?"))
    }
}

impl Owner {
    /// Prints the whole stack, if the kernel has kept it.
    pub(crate) fn print_stack(&self) {
        // SAFETY: It comes from the kernel, or is 0.
        unsafe { rust_dmapool_print_stack(self.stack) };
    }
}

/// What is known of the owner of a block. It stays when the block is freed, for reports of what
/// happens after that.
///
/// # Invariants
///
/// `live` is not 0 only if the block has an owner, who has not begun to free it; and it is once
/// that was handed the block. The rest is for people to read, who may see parts of two owners.
pub(crate) struct Track {
    owner: Opaque<Owner>,
    live: Atomic<u32>,
}

impl Track {
    /// Notes that the caller has allocated the block, which is at `dma`. Any context that `flags`
    /// allow.
    ///
    /// # Safety
    ///
    /// The caller must be the block's owner.
    pub(crate) unsafe fn begin(&self, dma: DmaAddress, flags: Flags) {
        if parameters().track {
            // SAFETY: It writes an owner there, as nobody else does.
            unsafe { rust_dmapool_note_owner(self.owner.get(), dma, gfp::to_raw(flags)) };
        }
        // INVARIANT: The caller is the block's owner.
        self.live.store(1, Relaxed);
    }

    /// Notes that the block is being freed. Returns whether it had an owner: of those who free one
    /// twice, one is told so.
    ///
    /// Relaxed: the caller has its order from how it got the block.
    pub(crate) fn end(&self) -> bool {
        // INVARIANT: Its owner gives it up.
        self.live.xchg(0, Relaxed) != 0
    }

    pub(crate) fn is_live(&self) -> bool {
        read_once(&self.live) != 0
    }

    /// Who has allocated the block last.
    pub(crate) fn owner(&self) -> Owner {
        // SAFETY: All bytes are valid numbers. Who allocates the block may write to them meanwhile:
        // as with C's `data_race()`, that is for people to read.
        unsafe { self.owner.get().read_volatile() }
    }
}
