// SPDX-License-Identifier: GPL-2.0

//! The interface for C, declared in `include/linux/rust_dmapool.h`.
//!
//! Each function has the signature and the contract of the one in `mm/dmapool.c` whose name it
//! bears after `rust_`. A caller in C has no [`Block`](crate::Block), so frees are checked.

use crate::{
    allocated::Allocated,
    c_string,
    geometry::Geometry,
    gfp,
    instance::Instance,
    options::Options,
    raw_pool::RawPool, //
};
use core::ptr::{
    self,
    null_mut,
    NonNull, //
};
use kernel::{
    alloc::{
        Flags,
        NumaNode, //
    },
    bindings,
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    error::to_result,
    prelude::*, //
};

/// What stands behind C's `struct dma_pool *`.
type CPool = Instance<'static>;

/// No block is smaller, as in C: there are drivers that write more than they have asked for.
const SMALLEST: usize = 16;

/// Makes a pool, or says in the device's name why not.
///
/// # Safety
///
/// `name` must be a string. `dev` must be a device that is bound for longer than the pool lives.
unsafe fn create(
    name: *const c_char,
    dev: NonNull<bindings::device>,
    [size, align, boundary]: [usize; 3],
    node: c_int,
) -> Result<KBox<CPool>> {
    // SAFETY: The caller vouches for both. `'static` is as long as the pool lives.
    let (name, dev) = unsafe {
        (
            c_string::from_char_ptr(name),
            dev.cast::<Device<Bound>>().as_ref(),
        )
    };
    let size = if size == 0 { 0 } else { size.max(SMALLEST) };
    let geometry = Geometry::try_new(dev, size, align, boundary)?;
    let options = match node {
        bindings::NUMA_NO_NODE => Options::new(),
        node => {
            let node = NumaNode::new(node).inspect_err(|_| {
                dev_err!(dev, "rust_dmapool: there is no NUMA node {node}\n");
            })?;

            Options::new().node(node)
        }
    };
    let options = Options {
        checked_frees: true,
        // Whoever makes the pool may be gone when it is destroyed, by devres or by a callback that
        // is `rust_dma_pool_destroy()` itself.
        holds_module: true,
        ..options
    };

    // SAFETY: Only dropping the box frees the pool, and no work refills it.
    unsafe { CPool::new(dev, name, geometry, options) }
}

/// The pool behind C's pointer.
///
/// # Safety
///
/// `pool` must come from one of the functions that create, and not have been destroyed.
#[inline]
unsafe fn behind<'a>(pool: *mut bindings::dma_pool) -> &'a RawPool<'static> {
    // SAFETY: The functions that create return a `CPool`, and it has not been destroyed.
    unsafe { &(*pool.cast::<CPool>()).raw }
}

/// See C's `dma_pool_create_node()`. Process context; may sleep.
///
/// # Safety
///
/// `name` must be a string. `dev` must be null or a device that the pool does not outlive.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_create_node(
    name: *const c_char,
    dev: *mut bindings::device,
    size: usize,
    align: usize,
    boundary: usize,
    node: c_int,
) -> *mut bindings::dma_pool {
    let Some(dev) = NonNull::new(dev) else {
        return null_mut();
    };

    // SAFETY: The caller vouches for `name` and `dev`.
    match unsafe { create(name, dev, [size, align, boundary], node) } {
        Ok(pool) => KBox::into_raw(pool).cast(),
        Err(_) => null_mut(),
    }
}

/// See C's `dma_pool_destroy()`. Process context; may sleep.
///
/// # Safety
///
/// `pool` must be null or come from [`rust_dma_pool_create_node`], and is not used after this.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_destroy(pool: *mut bindings::dma_pool) {
    if !pool.is_null() {
        // SAFETY: The functions that create return a boxed `CPool`, and nobody uses it any more.
        drop(unsafe { KBox::from_raw(pool.cast::<CPool>()) });
    }
}

/// See C's `dma_pool_alloc()`. Any context that `flags` allow.
///
/// # Safety
///
/// `pool` must be one that is not destroyed. `handle` must point to a DMA address to be written.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_alloc(
    pool: *mut bindings::dma_pool,
    flags: bindings::gfp_t,
    handle: *mut bindings::dma_addr_t,
) -> *mut c_void {
    // SAFETY: The pool is not destroyed.
    let pool = unsafe { behind(pool) };
    let flags = gfp::from_raw(flags);

    // SAFETY: Frees of pools of C are checked. `handle` points to a DMA address.
    unsafe {
        match pool.alloc_checked_at_once(flags) {
            Some(block) => hand_out(block, handle),
            None => alloc_in_any_case(pool, flags, handle),
        }
    }
}

/// With the same arguments as its caller, who need not return to it then.
///
/// # Safety
///
/// `handle` must point to a DMA address to be written.
#[cold]
#[inline(never)]
unsafe fn alloc_in_any_case(
    pool: &RawPool<'_>,
    flags: Flags,
    handle: *mut DmaAddress,
) -> *mut c_void {
    match pool.alloc_slow(flags) {
        // SAFETY: `handle` points to a DMA address.
        Ok(block) => unsafe { hand_out(block, handle) },
        Err(_) => null_mut(),
    }
}

/// # Safety
///
/// `handle` must point to a DMA address to be written.
#[inline(always)]
unsafe fn hand_out(block: Allocated<'_>, handle: *mut DmaAddress) -> *mut c_void {
    // SAFETY: `handle` points to a DMA address.
    unsafe { handle.write(block.dma_address()) };
    block.as_ptr().cast()
}

/// See C's `dma_pool_free()`. Any context.
///
/// What is not a block of the pool, or is free already, is reported and changes nothing.
///
/// # Safety
///
/// `pool` must be one that is not destroyed. If the addresses are those of an allocated block, it
/// must be the caller's, and is not used after this.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_free(
    pool: *mut bindings::dma_pool,
    address: *mut c_void,
    dma: DmaAddress,
) {
    // SAFETY: The pool is not destroyed, and the caller gives up the block, if there is one.
    let _ = unsafe { behind(pool).free_by_address(address.cast(), dma) };
}

/// The devres action of a managed pool.
///
/// # Safety
///
/// As [`rust_dma_pool_destroy`].
unsafe extern "C" fn destroy_managed(pool: *mut c_void) {
    // SAFETY: devres passes the pool that was added with this action.
    unsafe { rust_dma_pool_destroy(pool.cast()) };
}

/// See C's `dmam_pool_create()`. Process context; may sleep.
///
/// # Safety
///
/// As [`rust_dma_pool_create_node`].
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dmam_pool_create(
    name: *const c_char,
    dev: *mut bindings::device,
    size: usize,
    align: usize,
    boundary: usize,
) -> *mut bindings::dma_pool {
    // SAFETY: The caller vouches for `name` and `dev`.
    let pool = unsafe {
        rust_dma_pool_create_node(name, dev, size, align, boundary, bindings::NUMA_NO_NODE)
    };
    if pool.is_null() {
        return pool;
    }

    // SAFETY: The device is bound, and the action good for the pool. If this fails, it has run.
    let added =
        unsafe { bindings::devm_add_action_or_reset(dev, Some(destroy_managed), pool.cast()) };
    match to_result(added) {
        Ok(()) => pool,
        Err(_) => null_mut(),
    }
}

/// See C's `dmam_pool_destroy()`. Process context; may sleep.
///
/// # Safety
///
/// `pool` must be null or come from [`rust_dmam_pool_create`], and is not used after this.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dmam_pool_destroy(pool: *mut bindings::dma_pool) {
    if pool.is_null() {
        return;
    }
    // SAFETY: The pool is not destroyed yet.
    let dev: *const Device<Bound> = ptr::from_ref(unsafe { behind(pool) }.dev);

    // SAFETY: The device is bound, and the action was added with these arguments.
    unsafe {
        bindings::devm_release_action(dev.cast_mut().cast(), Some(destroy_managed), pool.cast())
    };
}
