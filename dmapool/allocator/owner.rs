// SPDX-License-Identifier: GPL-2.0

//! What is noted of the owner of a block: from where it was allocated, when and on which CPU, if
//! the module was loaded with `track=1`; and whether its owner has freed it, which with a
//! quarantine its bit does not tell.

use super::super::sys::{
    gfp,
    prelude::*, //
};
use super::word::read_once;
use bindings::gfp_t;

// `sys/dmapool_debug.c`
extern "C" {
    fn rust_dmapool_note_owner(owner: *mut Owner, flags: gfp_t);
    fn rust_dmapool_symbol(text: *mut u8, size: usize, site: usize) -> usize;
    fn rust_dmapool_print_stack(stack: u32);
    fn rust_dmapool_init_stacks();
}

/// Who has allocated a block; as in C.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Owner {
    /// The address that has called into this module.
    pub(crate) site: usize,
    /// By the clock of the log, in nanoseconds.
    pub(crate) when: u64,
    /// The whole stack, as the kernel keeps it, or 0.
    stack: u32,
    cpu: u32,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 128];
        // SAFETY: It writes so many bytes at most.
        let len = unsafe { rust_dmapool_symbol(text.as_mut_ptr(), text.len(), self.site) };
        let site = text
            .get(..len)
            .and_then(|text| core::str::from_utf8(text).ok());
        let (seconds, rest) = (self.when / 1_000_000_000, self.when % 1_000_000_000);

        f.write_fmt(fmt!(
            "{} at {seconds}.{:06} on CPU {}",
            site.unwrap_or("?"),
            rest / 1000,
            self.cpu
        ))
    }
}

/// Has the kernel keep stacks. Process context; may sleep.
pub(crate) fn init_stacks() {
    // SAFETY: The function has no requirements but its context.
    unsafe { rust_dmapool_init_stacks() };
}

impl Owner {
    /// Who calls this. Any context that `flags` allow.
    pub(crate) fn caller(flags: Flags) -> Self {
        let mut this = Self::default();

        // SAFETY: It writes an owner there.
        unsafe { rust_dmapool_note_owner(&mut this, gfp::to_raw(flags)) };
        this
    }

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
    site: Atomic<usize>,
    when: Atomic<u64>,
    stack: Atomic<u32>,
    cpu: Atomic<u32>,
    dma: Atomic<u64>,
    live: Atomic<u32>,
}

impl Track {
    /// Notes that the caller has allocated the block, which is at `dma`.
    pub(crate) fn begin(&self, owner: Owner, dma: DmaAddress) {
        self.site.store(owner.site, Relaxed);
        self.when.store(owner.when, Relaxed);
        self.stack.store(owner.stack, Relaxed);
        self.cpu.store(owner.cpu, Relaxed);
        self.dma.store(dma, Relaxed);
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

    pub(crate) fn owner(&self) -> Owner {
        Owner {
            site: read_once(&self.site),
            when: read_once(&self.when),
            stack: read_once(&self.stack),
            cpu: read_once(&self.cpu),
        }
    }

    /// Whether somebody has had the block when it was at `dma`.
    pub(crate) fn was_at(&self, dma: DmaAddress) -> bool {
        read_once(&self.when) != 0 && read_once(&self.dma) == dma
    }

    /// Where the block is, if somebody has it.
    pub(crate) fn live_at(&self) -> Option<DmaAddress> {
        (read_once(&self.live) != 0).then(|| read_once(&self.dma))
    }
}
