// SPDX-License-Identifier: GPL-2.0

//! The functions that `include/linux/dmapool.h` declares, in the place of `mm/dmapool.c`.
//!
//! `mm/dmapool_rust.c` exports them, and has the attribute `pools` of a device in sysfs.

use super::{
    api::c_pool,
    instance::Instance,
    sys::{
        gfp,
        prelude::*, //
    },
};
use kernel::types::Opaque;

// `mm/dmapool_rust.c`
extern "C" {
    fn rust_dmapool_show_in_sysfs(pool: *mut bindings::dma_pool, dev: *mut c_void) -> c_int;
    fn rust_dmapool_hide_in_sysfs(pool: *mut bindings::dma_pool);
}

/// How a pool of C begins: `struct dma_pool` in `mm/dmapool_rust.c`.
///
/// # Invariants
///
/// `dev` is null until the pool is shown in sysfs.
#[repr(C)]
pub(crate) struct Head {
    pools: Opaque<bindings::list_head>,
    dev: *mut bindings::device,
}

impl Head {
    pub(crate) fn new() -> Self {
        // INVARIANT: It is not shown yet.
        Self {
            pools: Opaque::uninit(),
            dev: null_mut(),
        }
    }
}

impl Drop for Head {
    /// Process context; may sleep.
    fn drop(&mut self) {
        if !self.dev.is_null() {
            // SAFETY: By the type invariants it is shown, and so has not moved.
            unsafe { rust_dmapool_hide_in_sysfs(ptr::from_mut(self).cast()) };
        }
    }
}

/// What stands behind C's `struct dma_pool *`.
type CPool = Instance<'static, Head>;

// A pool can be looked at as its head.
static_assert!(mem::offset_of!(CPool, head) == 0);

/// The pool behind C's pointer.
///
/// # Safety
///
/// `pool` must come from [`dma_pool_create_node`] or [`dmam_pool_create`], and not have been
/// destroyed.
#[inline(always)]
unsafe fn behind<'a>(pool: *mut bindings::dma_pool) -> &'a CPool {
    // SAFETY: These return a `CPool`.
    unsafe { &*pool.cast() }
}

/// See C's `dma_pool_create_node()`. Process context; may sleep.
///
/// # Safety
///
/// `name` must be a string. `dev` must be null or a device that the pool does not outlive.
#[export]
pub(crate) unsafe extern "C" fn dma_pool_create_node(
    name: *const c_char,
    dev: *mut bindings::device,
    size: usize,
    align: usize,
    boundary: usize,
    node: c_int,
) -> *mut bindings::dma_pool {
    let asked = [size, align, boundary];
    // SAFETY: The caller vouches for `name` and `dev`.
    let Ok(pool) = (unsafe { c_pool::create(Head::new(), name, dev, asked, node, 0) }) else {
        return null_mut();
    };
    let pool = KBox::into_raw(pool).cast();

    // SAFETY: The pool is there, and does not move until it is dropped, which hides it.
    if unsafe { rust_dmapool_show_in_sysfs(pool, dev.cast()) } != 0 {
        // SAFETY: It comes from `into_raw`, and nobody else has it.
        drop(unsafe { KBox::from_raw(pool.cast::<CPool>()) });
        return null_mut();
    }
    pool
}

/// See C's `dma_pool_destroy()`. Process context; may sleep.
///
/// # Safety
///
/// `pool` must be null or as for [`behind`], and is not used after this.
#[export]
pub(crate) unsafe extern "C" fn dma_pool_destroy(pool: *mut bindings::dma_pool) {
    if !pool.is_null() {
        // SAFETY: The caller vouches for a boxed `CPool` that nobody uses any more.
        drop(unsafe { KBox::from_raw(pool.cast::<CPool>()) });
    }
}

/// See C's `dma_pool_alloc()`. Any context that `flags` allow.
///
/// # Safety
///
/// `pool` must be as for [`behind`]. `handle` must point to a DMA address to be written.
#[export]
pub(crate) unsafe extern "C" fn dma_pool_alloc(
    pool: *mut bindings::dma_pool,
    flags: bindings::gfp_t,
    handle: *mut bindings::dma_addr_t,
) -> *mut c_void {
    // SAFETY: The caller vouches for the pool, and for `handle`.
    unsafe {
        behind(pool)
            .raw
            .alloc_checked(gfp::from_raw(flags), handle)
            .cast()
    }
}

/// See C's `dma_pool_free()`. Any context.
///
/// What is not a block of the pool, or is free already, is reported and changes nothing.
///
/// # Safety
///
/// `pool` must be as for [`behind`]. If the addresses are those of an allocated block, it must be
/// the caller's, and is not used after this.
#[export]
pub(crate) unsafe extern "C" fn dma_pool_free(
    pool: *mut bindings::dma_pool,
    address: *mut c_void,
    dma: bindings::dma_addr_t,
) {
    // What is wrong with it has been said.
    // SAFETY: The caller vouches for the pool, and gives up the block, if there is one.
    let _ = unsafe { behind(pool).raw.free_by_address(address.cast(), dma) };
}

/// The devres action of a managed pool.
///
/// # Safety
///
/// As [`dma_pool_destroy`].
unsafe extern "C" fn destroy_managed(pool: *mut c_void) {
    // SAFETY: devres passes the pool that was added with this action.
    unsafe { dma_pool_destroy(pool.cast()) };
}

/// See C's `dmam_pool_create()`. Process context; may sleep.
///
/// # Safety
///
/// As [`dma_pool_create_node`].
#[export]
pub(crate) unsafe extern "C" fn dmam_pool_create(
    name: *const c_char,
    dev: *mut bindings::device,
    size: usize,
    align: usize,
    boundary: usize,
) -> *mut bindings::dma_pool {
    // SAFETY: The caller vouches for `name` and `dev`, which is bound. The action is good for what
    // is made here.
    unsafe {
        let pool = dma_pool_create_node(name, dev, size, align, boundary, bindings::NUMA_NO_NODE);

        c_pool::give_to_devres(dev, pool, destroy_managed)
    }
}

/// See C's `dmam_pool_destroy()`. Process context; may sleep.
///
/// # Safety
///
/// `pool` must come from [`dmam_pool_create`], and is not used after this.
#[export]
pub(crate) unsafe extern "C" fn dmam_pool_destroy(pool: *mut bindings::dma_pool) {
    // SAFETY: The caller vouches for the pool, whose device is there as long as it.
    unsafe {
        bindings::devm_release_action(behind(pool).head.dev, Some(destroy_managed), pool.cast());
    }
}

/// Tells the attribute in sysfs the name of a pool, and how many of its blocks are allocated, how
/// many blocks there are, their size, and how many pages.
///
/// # Safety
///
/// `pool` must be as for [`behind`], and `numbers` point to four numbers to be written.
#[no_mangle]
unsafe extern "C" fn rust_dmapool_describe(
    pool: *mut bindings::dma_pool,
    numbers: *mut [usize; 4],
) -> *const c_char {
    // SAFETY: The caller vouches for both.
    unsafe {
        let raw = &behind(pool).raw;
        let now = raw.statistics();

        // CAST: A `usize` has 64 bits.
        numbers.write([
            now.live as usize,
            now.capacity as usize,
            raw.geometry().stride(),
            now.pages as usize,
        ]);
        raw.name.as_char_ptr()
    }
}
