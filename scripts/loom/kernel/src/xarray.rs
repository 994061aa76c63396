// SPDX-License-Identifier: GPL-2.0

//! An xarray, each entry of which is an atomic variable: stored with release, as by
//! `rcu_assign_pointer()`, and loaded as by `rcu_dereference()`.
//!
//! The nodes above the entries are the kernel's to prove. So is the lock that writers take, which
//! orders nothing here.

use crate::{
    model,
    prelude::*,
    sync::atomic::{
        Atomic,
        Release, //
    },
};
use core::{
    alloc::Layout,
    ptr::null_mut, //
};

/// A list of the entries that somebody has stored or looked for.
#[repr(C)]
#[allow(non_camel_case_types)] // As in C.
pub struct xarray {
    first: *mut Entry,
}

#[repr(C)]
struct Entry {
    index: usize,
    pointer: Atomic<*mut c_void>,
    next: *mut Entry,
}

/// # Safety
///
/// `xa` must be memory for an xarray.
pub unsafe fn init(xa: *mut xarray) {
    // SAFETY: The caller gives memory for an xarray.
    unsafe { xa.write(xarray { first: null_mut() }) };
}

/// The entry at `index`, null if nobody has stored one.
///
/// Looked for is as good as stored: loom has to see that the two meet.
///
/// # Safety
///
/// `xa` must be an initialized xarray.
unsafe fn entry<'a>(xa: *mut xarray, index: usize) -> &'a Atomic<*mut c_void> {
    // SAFETY: The xarray is initialized, and all of loom's threads are one of the system's. Entries
    // are new memory, and stay until the xarray is destroyed.
    unsafe {
        let mut at = (*xa).first;

        while !at.is_null() && (*at).index != index {
            at = (*at).next;
        }
        if at.is_null() {
            at = model::allocate(Layout::new::<Entry>()).cast();
            at.write(Entry {
                index,
                pointer: Atomic::new(null_mut()),
                next: (*xa).first,
            });
            (*xa).first = at;
        }
        &(*at).pointer
    }
}

/// Stores `pointer` at `index`, or returns that there is no memory for it.
///
/// # Safety
///
/// `xa` must be an initialized xarray.
pub unsafe fn store(xa: *mut xarray, index: usize, pointer: *mut c_void) -> Result {
    model::begin_entry().ok_or(ENOMEM)?;
    // SAFETY: The xarray is initialized.
    unsafe { entry(xa, index) }.store(pointer, Release);
    Ok(())
}

/// # Safety
///
/// `xa` must be an initialized xarray.
pub unsafe fn xa_load(xa: *mut xarray, index: usize) -> *mut c_void {
    // SAFETY: The xarray is initialized. This is how pointers are loaded here.
    unsafe { entry(xa, index).as_ptr().read_volatile() }
}

/// # Safety
///
/// `xa` must be an initialized xarray that nobody uses any more.
pub unsafe fn xa_destroy(xa: *mut xarray) {
    // SAFETY: The xarray is initialized, and nobody uses it any more.
    unsafe {
        let mut at = (*xa).first;

        while !at.is_null() {
            let next = (*at).next;
            model::free(at.cast());
            at = next;
        }
    }
}
