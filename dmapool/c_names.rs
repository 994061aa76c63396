// SPDX-License-Identifier: GPL-2.0

//! The functions of the interface for C, declared in `include/linux/rust_dmapool.h`.
//!
//! Each has the signature and the contract of the one in `mm/dmapool.c` whose name it bears, and is
//! exported with `rust_` before that.

use super::{
    api::c_pool,
    instance::Instance,
    module::mark::Mark,
    sys::{
        context,
        gfp,
        prelude::*, //
    },
};

/// How the pools begin.
pub(crate) type Head = Mark;

/// What stands behind C's `struct dma_pool *`.
type CPool = Instance<'static, Head>;

// `module/module.c`
extern "C" {
    fn rust_dmapool_report_unusable(function: *const c_char, destroyed: bool);
}

// A pool can be looked at as a mark.
static_assert!(core::mem::offset_of!(CPool, head) == 0);

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
#[export_name = "rust_dma_pool_create_node"]
pub(crate) unsafe extern "C" fn dma_pool_create_node(
    name: *const c_char,
    dev: *mut bindings::device,
    size: usize,
    align: usize,
    boundary: usize,
    node: c_int,
) -> *mut bindings::dma_pool {
    // SAFETY: The caller vouches for the same.
    unsafe { dma_pool_create_reserve(name, dev, size, align, boundary, node, 0) }
}

/// Like `dma_pool_create_node()`, with a reserve for callers who may not wait: see
/// [`Options::min_nr`]. Process context; may sleep.
///
/// # Safety
///
/// As [`dma_pool_create_node`].
#[export_name = "rust_dma_pool_create_reserve"]
pub(crate) unsafe extern "C" fn dma_pool_create_reserve(
    name: *const c_char,
    dev: *mut bindings::device,
    size: usize,
    align: usize,
    boundary: usize,
    node: c_int,
    min_nr: usize,
) -> *mut bindings::dma_pool {
    let asked = [size, align, boundary];

    // SAFETY: The caller vouches for `name` and `dev`.
    match unsafe { c_pool::create(Head::new(), name, dev, asked, node, min_nr) } {
        Ok(pool) => KBox::into_raw(pool).cast(),
        Err(_) => null_mut(),
    }
}

/// Grows the pool until `count` blocks are free: see [`Pool::prefill`].
/// Returns 0, or `-ENOMEM`. Any context that `flags` allow.
///
/// # Safety
///
/// `pool` must be as for [`behind`].
#[export_name = "rust_dma_pool_prefill"]
pub(crate) unsafe extern "C" fn dma_pool_prefill(
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
#[export_name = "rust_dma_pool_shrink"]
pub(crate) unsafe extern "C" fn dma_pool_shrink(pool: *mut bindings::dma_pool) -> usize {
    // SAFETY: The caller vouches for the same.
    unsafe { behind(c"rust_dma_pool_shrink", pool).map_or(0, |pool| pool.raw.shrink_alone()) }
}

/// See C's `dma_pool_destroy()`. Process context; may sleep.
///
/// # Safety
///
/// `pool` must be null or as for [`behind`]. If it comes from [`dma_pool_create_node`], it is not
/// used after this.
#[export_name = "rust_dma_pool_destroy"]
pub(crate) unsafe extern "C" fn dma_pool_destroy(pool: *mut bindings::dma_pool) {
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
#[export_name = "rust_dma_pool_alloc"]
pub(crate) unsafe extern "C" fn dma_pool_alloc(
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
#[export_name = "rust_dma_pool_free"]
pub(crate) unsafe extern "C" fn dma_pool_free(
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
#[export_name = "rust_dmam_pool_create"]
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
/// `pool` must be null or as for [`behind`]. If it is of this module, it comes from
/// [`dmam_pool_create`], and is not used after this.
#[export_name = "rust_dmam_pool_destroy"]
pub(crate) unsafe extern "C" fn dmam_pool_destroy(pool: *mut bindings::dma_pool) {
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
