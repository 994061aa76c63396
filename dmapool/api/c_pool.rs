// SPDX-License-Identifier: GPL-2.0

//! The interface for C, declared in `include/linux/rust_dmapool.h`.
//!
//! Each function has the signature and the contract of the one in `mm/dmapool.c` whose name it
//! bears after `rust_`. A caller in C has no [`Block`](crate::Block), so frees are checked.

use super::super::sys::prelude::*;
use super::super::{
    allocator::{
        geometry::RawGeometry,
        options::Options, //
    },
    module::{
        instance::Instance,
        mark::Mark, //
    },
    sys::{
        c_string,
        context,
        gfp,
        report::pool_err, //
    },
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
    min_nr: usize,
) -> Result<KBox<CPool>> {
    // SAFETY: The caller vouches for both. `'static` is as long as the pool lives.
    let (name, dev) = unsafe {
        (
            c_string::from_char_ptr(name),
            dev.cast::<Device<Bound>>().as_ref(),
        )
    };
    let size = if size == 0 { 0 } else { size.max(SMALLEST) };
    let geometry = RawGeometry::check(size, align, boundary).inspect_err(|err| {
        pool_err(dev, name, fmt!("{err}"));
    })?;
    let options = match node {
        bindings::NUMA_NO_NODE => Options::new(),
        node => {
            let node = NumaNode::new(node).inspect_err(|_| {
                pool_err(dev, name, fmt!("there is no NUMA node {node}"));
            })?;

            Options::new().node(node)
        }
    };
    let options = Options {
        checked_frees: true,
        min_nr,
        // Whoever makes the pool may be gone when it is destroyed, by devres or by a callback that
        // is `rust_dma_pool_destroy()` itself.
        holds_module: true,
        ..options
    };

    // SAFETY: Only dropping the box frees the pool.
    unsafe { CPool::new(dev, name, geometry, options) }
}

// `dmapool/sys/helpers.c`
extern "C" {
    fn rust_dmapool_report_unusable(function: *const c_char, destroyed: bool);
}

// A pool can be looked at as a mark.
static_assert!(core::mem::offset_of!(CPool, mark) == 0);

/// Says who passed `pool` to `function`, which cannot be used.
///
/// # Safety
///
/// As [`behind`].
#[cold]
#[inline(never)]
unsafe fn refuse(function: &'static CStr, pool: *mut bindings::dma_pool) {
    if context::report_ratelimit() {
        // SAFETY: The caller vouches for a word. The name is a string.
        unsafe {
            let destroyed = (*pool.cast::<Mark>()).is_destroyed();

            rust_dmapool_report_unusable(function.as_char_ptr(), destroyed)
        };
    }
}

/// The pool behind C's pointer, which was passed to `function`, unless that is one of
/// `mm/dmapool.c`: then that is said.
///
/// A pool that was destroyed is known, too, for as long as nobody else uses its memory. That helps
/// whoever has broken the contract to find it.
///
/// # Safety
///
/// `pool` must come from one of the functions that create, here or in `mm/dmapool.c`, and not have
/// been destroyed.
#[inline(always)]
unsafe fn behind<'a>(function: &'static CStr, pool: *mut bindings::dma_pool) -> Option<&'a CPool> {
    // SAFETY: Whichever function made it, it begins with a word.
    if !unsafe { (*pool.cast::<Mark>()).exists() } {
        // SAFETY: The caller vouches for the same.
        unsafe { refuse(function, pool) };
        return None;
    }
    // SAFETY: With this mark it is a `CPool`, and it has not been destroyed.
    Some(unsafe { &*pool.cast() })
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
    // SAFETY: The caller vouches for the same.
    unsafe { rust_dma_pool_create_reserve(name, dev, size, align, boundary, node, 0) }
}

/// Like `dma_pool_create_node()`, with a reserve for callers who may not wait: see
/// [`Options::min_nr`]. Process context; may sleep.
///
/// # Safety
///
/// As [`rust_dma_pool_create_node`].
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_create_reserve(
    name: *const c_char,
    dev: *mut bindings::device,
    size: usize,
    align: usize,
    boundary: usize,
    node: c_int,
    min_nr: usize,
) -> *mut bindings::dma_pool {
    let Some(dev) = NonNull::new(dev) else {
        return null_mut();
    };

    // SAFETY: The caller vouches for `name` and `dev`.
    match unsafe { create(name, dev, [size, align, boundary], node, min_nr) } {
        Ok(pool) => KBox::into_raw(pool).cast(),
        Err(_) => null_mut(),
    }
}

/// Grows the pool until `count` blocks are free: see [`Pool::prefill`](crate::Pool::prefill).
/// Returns 0, or `-ENOMEM`. Any context that `flags` allow.
///
/// # Safety
///
/// `pool` must be as for [`behind`].
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_prefill(
    pool: *mut bindings::dma_pool,
    count: usize,
    flags: bindings::gfp_t,
) -> c_int {
    // SAFETY: The caller vouches for the pool.
    unsafe { behind(c"rust_dma_pool_prefill", pool) }
        .ok_or(EINVAL)
        .and_then(|pool| pool.raw.prefill(count, gfp::from_raw(flags)))
        .map_or_else(Error::to_errno, |()| 0)
}

/// Gives pages back in which no block is allocated, and returns how many. Process context; may
/// sleep.
///
/// # Safety
///
/// `pool` must be as for [`behind`], and nobody else use it meanwhile.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_shrink(pool: *mut bindings::dma_pool) -> usize {
    // SAFETY: The caller vouches for the same.
    unsafe { behind(c"rust_dma_pool_shrink", pool).map_or(0, |pool| pool.raw.shrink_alone()) }
}

/// See C's `dma_pool_destroy()`. Process context; may sleep.
///
/// # Safety
///
/// `pool` must be null or as for [`behind`]. If it comes from [`rust_dma_pool_create_node`], it is
/// not used after this.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_destroy(pool: *mut bindings::dma_pool) {
    if pool.is_null() {
        return;
    }
    // SAFETY: The caller vouches for the same. The functions that create return a boxed `CPool`,
    // and nobody uses it any more.
    unsafe {
        if behind(c"rust_dma_pool_destroy", pool).is_some() {
            drop(KBox::from_raw(pool.cast::<CPool>()));
        }
    }
}

/// See C's `dma_pool_alloc()`. Any context that `flags` allow.
///
/// # Safety
///
/// `pool` must be as for [`behind`]. `handle` must point to a DMA address to be written.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_alloc(
    pool: *mut bindings::dma_pool,
    flags: bindings::gfp_t,
    handle: *mut bindings::dma_addr_t,
) -> *mut c_void {
    // SAFETY: The caller vouches for the pool, and for `handle`.
    unsafe {
        match behind(c"rust_dma_pool_alloc", pool) {
            Some(pool) => pool.raw.alloc_checked(gfp::from_raw(flags), handle).cast(),
            None => null_mut(),
        }
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
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dma_pool_free(
    pool: *mut bindings::dma_pool,
    address: *mut c_void,
    dma: DmaAddress,
) {
    // SAFETY: The caller vouches for the same, and gives up the block, if there is one.
    unsafe {
        if let Some(pool) = behind(c"rust_dma_pool_free", pool) {
            // It has said why, if it was refused.
            let _ = pool.raw.free_by_address(address.cast(), dma);
        }
    }
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
/// `pool` must be null or as for [`behind`]. If it is of this module, it comes from
/// [`rust_dmam_pool_create`], and is not used after this.
#[no_mangle]
pub(crate) unsafe extern "C" fn rust_dmam_pool_destroy(pool: *mut bindings::dma_pool) {
    if pool.is_null() {
        return;
    }
    // SAFETY: The caller vouches for the same.
    let Some(CPool { raw, .. }) = (unsafe { behind(c"rust_dmam_pool_destroy", pool) }) else {
        return;
    };
    let dev: *const Device<Bound> = ptr::from_ref(raw.dev);

    // SAFETY: The device is bound, and the action was added with these arguments.
    unsafe {
        bindings::devm_release_action(dev.cast_mut().cast(), Some(destroy_managed), pool.cast())
    };
}
