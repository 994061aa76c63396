// SPDX-License-Identifier: GPL-2.0

//! Memory and CPUs of this machine; no part of the real crate.
//!
//! Threads are bound to a CPU each, and know its number from [`run_on`]: that is as cheap as the
//! kernel's, which is a variable of the CPU's.

use core::{
    alloc::Layout,
    cell::Cell,
    ffi::c_void, //
};
use std::sync::OnceLock;

extern "C" {
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    #[link_name = "free"]
    fn release(memory: *mut c_void);
}

thread_local! {
    static CPU: Cell<u32> = const { Cell::new(0) };
}

/// Has what this thread does run on `cpu`, as far as the pool can tell.
pub fn run_on(cpu: u32) {
    CPU.set(cpu);
}

/// A call, as in a kernel without `CONFIG_RUST_INLINE_HELPERS`.
#[cfg_attr(not(inline_helpers), inline(never))]
#[cfg_attr(inline_helpers, inline(always))]
pub(crate) fn this_cpu() -> u32 {
    CPU.get()
}

static CPUS: OnceLock<u32> = OnceLock::new();

/// Says how many CPUs there are; to be called first.
pub fn set_cpus(cpus: u32) {
    CPUS.get_or_init(|| cpus);
}

pub(crate) fn cpus() -> u32 {
    *CPUS.get().expect("nobody has said how many CPUs there are")
}

/// New memory, not initialized. As `kmalloc()`'s, what fits into a cache line is in one.
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    let align = layout.align().max(64);
    let size = layout.size().max(1).next_multiple_of(align);

    // SAFETY: The alignment is a power of two, and the size a multiple of it.
    unsafe { aligned_alloc(align, size) }.cast()
}

/// Gives memory back.
pub(crate) fn free(start: *mut u8) {
    // SAFETY: The callers have it from `allocate`, and are done with it.
    unsafe { release(start.cast()) };
}

/// What `smp_mb()` is on x86; it is cheaper than `mfence`.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub(crate) fn full_barrier() {
    // SAFETY: It adds nothing to what is below the stack.
    unsafe { core::arch::asm!("lock addl $0, -4(%rsp)", options(att_syntax)) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(never)]
pub(crate) fn full_barrier() {
    core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
}

/// What `smp_mb__after_atomic()` is on x86, where the operation before is a full barrier by itself.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub fn mb_after_atomic() {
    core::sync::atomic::compiler_fence(core::sync::atomic::Ordering::SeqCst);
}

#[cfg(not(target_arch = "x86_64"))]
pub fn mb_after_atomic() {
    full_barrier();
}

/// Memory for DMA, which is only aligned and zeroed. Null if there is none.
#[no_mangle]
pub extern "C" fn host_alloc_dma(size: usize) -> *mut c_void {
    let align = size.next_power_of_two().max(crate::page::PAGE_SIZE);

    // SAFETY: The alignment is a power of two, and the size a multiple of it. It is new memory.
    unsafe {
        let memory = aligned_alloc(align, size.next_multiple_of(align));
        if !memory.is_null() {
            memory.cast::<u8>().write_bytes(0, size);
        }
        memory
    }
}

/// # Safety
///
/// `memory` must come from [`host_alloc_dma`], and not be used after this.
#[no_mangle]
pub unsafe extern "C" fn host_free_dma(memory: *mut c_void) {
    // SAFETY: The caller vouches for that.
    unsafe { release(memory) };
}
