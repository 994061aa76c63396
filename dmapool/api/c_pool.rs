// SPDX-License-Identifier: GPL-2.0

//! Pools of the interface for C: how they are made. What the functions are called, and how C's
//! `struct dma_pool` begins, is in `c_names.rs`.
//!
//! A caller in C has no [`Block`], so frees are checked.

use super::super::sys::prelude::*;
use super::super::{
    allocator::{
        geometry::RawGeometry,
        options::Options, //
    },
    instance::Instance,
    sys::{
        c_string,
        report::pool_err, //
    },
};

/// No block is smaller, as in C: there are drivers that write more than they have asked for.
const SMALLEST: usize = 16;

/// Makes a pool that begins with `head`, or says in the device's name why not.
///
/// # Safety
///
/// `name` must be a string. `dev` must be null or a device that the pool does not outlive.
pub(crate) unsafe fn create<Head>(
    head: Head,
    name: *const c_char,
    dev: *mut bindings::device,
    [size, align, boundary]: [usize; 3],
    node: c_int,
    min_nr: usize,
) -> Result<KBox<Instance<'static, Head>>> {
    let dev = NonNull::new(dev).ok_or(EINVAL)?;
    // SAFETY: The caller vouches for both. `'static` is as long as the pool lives.
    let (name, dev) = unsafe {
        (
            c_string::from_char_ptr(name),
            dev.cast::<Device<Bound>>().as_ref(),
        )
    };
    // What it is rounded up by is the driver's, as with C's pools.
    let rounded = size.max(SMALLEST).checked_next_multiple_of(align.max(1));
    let size = if size == 0 {
        0
    } else {
        rounded.unwrap_or(size)
    };
    let geometry = RawGeometry::check(size, align, boundary).inspect_err(|err| {
        pool_err(dev, name, fmt!("{err}"));
    })?;
    let options = Options {
        // SAFETY: A node is a number and nothing else. The pool refuses those that there are not.
        node: unsafe { mem::transmute::<c_int, NumaNode>(node) },
        checked_frees: true,
        min_nr,
        // Whoever makes the pool may be gone when it is destroyed, by devres or by a callback that
        // is the function of C itself.
        holds_module: true,
        ..Options::new()
    };

    // SAFETY: Only dropping the box frees the pool.
    unsafe { Instance::new(head, dev, name, geometry, options) }
}

/// Has devres of `dev` destroy `pool`, if that is not null, by `destroy`. Returns it; or null, if
/// that cannot be: then it is destroyed.
///
/// # Safety
///
/// `dev` must be there if `pool` is, and `destroy` be good for the pool.
pub(crate) unsafe fn give_to_devres(
    dev: *mut bindings::device,
    pool: *mut bindings::dma_pool,
    destroy: unsafe extern "C" fn(*mut c_void),
) -> *mut bindings::dma_pool {
    if pool.is_null() {
        return pool;
    }

    // SAFETY: The caller vouches for the device and the action. If this fails, it has run.
    let added = unsafe { bindings::devm_add_action_or_reset(dev, Some(destroy), pool.cast()) };
    match to_result(added) {
        Ok(()) => pool,
        Err(_) => null_mut(),
    }
}
