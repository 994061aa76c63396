// SPDX-License-Identifier: GPL-2.0

//! The interface for C, declared in `include/linux/rust_dmapool.h`.
//!
//! Each function has the signature and the contract of the one in `mm/dmapool.c` whose name it
//! bears after `rust_`. A caller in C has no [`Block`](crate::Block), so frees are checked.

use crate::{
    context,
    geometry::Geometry,
    gfp,
    options::Options,
    raw_pool::{
        BadFree,
        RawPool, //
    },
};
use core::ptr::{
    self,
    null_mut,
    NonNull, //
};
use kernel::{
    alloc::NumaNode,
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
type CPool = RawPool<'static>;

/// No block is smaller, as in C: there are drivers that write more than they have asked for.
const SMALLEST: usize = 16;

/// The string at `first`; `CStr::from_char_ptr()` without a sum that could panic.
///
/// # Safety
///
/// There must be a string, which lives for `'a`.
pub(crate) unsafe fn string<'a>(first: *const c_char) -> &'a CStr {
    // SAFETY: By the requirements of this function.
    unsafe {
        let len = bindings::strlen(first).wrapping_add(1);

        CStr::from_bytes_with_nul_unchecked(core::slice::from_raw_parts(first.cast(), len))
    }
}

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
    // SAFETY: By the requirements of this function. `'static` is as long as the pool lives.
    let (name, dev) = unsafe { (string(name), dev.cast::<Device<Bound>>().as_ref()) };
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
    // Whoever makes the pool may be gone when it is destroyed, by devres or by a callback that is
    // `rust_dma_pool_destroy()` itself.
    let mut pool = CPool::new(dev, name, geometry, options)?;

    pool.add_index()?;
    pool.hold_module()?;
    // SAFETY: The pool never leaves its box, and only dropping that frees it.
    unsafe { pool.list() };
    Ok(pool)
}

/// The pool behind C's pointer.
///
/// # Safety
///
/// `pool` must come from one of the functions that create, and not have been destroyed.
#[inline]
unsafe fn behind<'a>(pool: *mut bindings::dma_pool) -> &'a CPool {
    // SAFETY: By the requirements of this function this is a `CPool`.
    unsafe { &*pool.cast::<CPool>() }
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

    // SAFETY: By the requirements of this function.
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
        // SAFETY: By the requirements of this function it is a boxed `CPool` that nobody uses.
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
    // SAFETY: By the requirements of this function.
    let Ok(taken) = unsafe { behind(pool) }.alloc(gfp::from_raw(flags)) else {
        return null_mut();
    };

    // SAFETY: By the requirements of this function.
    unsafe { handle.write(taken.dma_address()) };
    taken.as_ptr().cast()
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
    // SAFETY: By the requirements of this function.
    let pool = unsafe { behind(pool) };

    // SAFETY: By the requirements of this function.
    if let Err(reason) = unsafe { pool.free(address.cast(), dma) } {
        report(pool, address, dma, reason);
    }
}

#[cold]
#[inline(never)]
fn report(pool: &RawPool<'_>, address: *mut c_void, dma: DmaAddress, reason: BadFree) {
    if !context::may_report() {
        return;
    }
    dev_err!(
        pool.device(),
        "rust_dmapool: pool {}: cannot free {address:p}/{dma:#x}: {reason}\n",
        pool.name()
    );
}

/// The devres action of a managed pool.
///
/// # Safety
///
/// As [`rust_dma_pool_destroy`].
unsafe extern "C" fn destroy_managed(pool: *mut c_void) {
    // SAFETY: By the requirements of this function.
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
    // SAFETY: By the requirements of this function.
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
    // SAFETY: By the requirements of this function.
    let dev: *const Device<Bound> = ptr::from_ref(unsafe { behind(pool) }.device());

    // SAFETY: The device is bound, and the action was added with these arguments.
    unsafe {
        bindings::devm_release_action(dev.cast_mut().cast(), Some(destroy_managed), pool.cast())
    };
}
