// SPDX-License-Identifier: GPL-2.0

//! What the CPUs and the heap of the model are to the `kernel` crate of `scripts/loom`; see
//! `cpus.c` and `heap.c`.

use core::{
    alloc::Layout,
    ffi::{
        c_int,
        c_void, //
    },
};

extern "C" {
    #[link_name = "this_cpu"]
    static THIS_CPU: c_int;
    #[link_name = "nr_cpus"]
    static NR_CPUS: c_int;
    fn heap_alloc(size: usize) -> *mut c_void;
    fn heap_free(start: *mut c_void);
    fn heap_alloc_pages(size: usize) -> *mut c_void;
    fn heap_free_pages(start: *mut c_void);
}

/// The CPU that runs; the first one while the pool is made. The kernel has this in memory at which
/// no other CPU looks.
pub(crate) fn this_cpu() -> u32 {
    // SAFETY: There is one thread.
    let number = unsafe { THIS_CPU };

    number.max(0) as u32
}

pub(crate) fn cpus() -> u32 {
    // SAFETY: There is one thread.
    unsafe { NR_CPUS as u32 }
}

/// New memory, all zeroes. It is aligned as `kmalloc()` does that.
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: The function has no requirements.
    unsafe { heap_alloc(layout.size()) }.cast()
}

/// Gives back what [`allocate`] returned.
pub(crate) fn free(start: *mut u8) {
    // SAFETY: The callers have it from `allocate`, and are done with it.
    unsafe { heap_free(start.cast()) };
}

/// Orders what is ordered here anyway.
pub(crate) fn full_barrier() {}

/// The same.
pub fn mb_after_atomic() {}

/// Memory for DMA.
#[no_mangle]
pub extern "C" fn host_alloc_dma(size: usize) -> *mut c_void {
    // SAFETY: The function has no requirements.
    unsafe { heap_alloc_pages(size) }
}

/// # Safety
///
/// `memory` must come from [`host_alloc_dma`], and not be used after this.
#[no_mangle]
pub unsafe extern "C" fn host_free_dma(memory: *mut c_void) {
    // SAFETY: The caller vouches for that.
    unsafe { heap_free_pages(memory) };
}
