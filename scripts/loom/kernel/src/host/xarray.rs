// SPDX-License-Identifier: GPL-2.0

//! An xarray of as many levels as an address in user space needs: two more than one of the
//! kernel's for the memory of a small machine.

use crate::{
    model,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
};
use core::{
    alloc::Layout,
    array,
    ptr::null_mut, //
};

const LEVEL_BITS: usize = 6;
const LEVELS: usize = 6;

type Slot = Atomic<*mut c_void>;
type Node = [Slot; 1 << LEVEL_BITS];

#[repr(C)]
#[allow(non_camel_case_types)] // As in C.
pub struct xarray {
    root: Slot,
}

/// # Safety
///
/// `xa` must be memory for an xarray.
pub unsafe fn init(xa: *mut xarray) {
    let root = Slot::new(null_mut());

    // SAFETY: The caller gives memory for an xarray.
    unsafe { xa.write(xarray { root }) };
}

/// The slot below `node`, of `level`, that leads to `index`.
///
/// # Safety
///
/// `node` must be a node that nobody frees for `'a`.
unsafe fn slot_in<'a>(node: *mut c_void, level: usize, index: usize) -> &'a Slot {
    let number = index >> (level * LEVEL_BITS) & ((1 << LEVEL_BITS) - 1);

    // SAFETY: The caller vouches for the node.
    unsafe { &(*node.cast::<Node>())[number] }
}

/// The node in `slot`, which is made if there is none.
fn node_in(slot: &Slot) -> *mut c_void {
    let node = slot.load(Acquire);
    if !node.is_null() {
        return node;
    }

    let new = model::allocate(Layout::new::<Node>()).cast::<Node>();
    // SAFETY: It is new memory for a node.
    unsafe { new.write(array::from_fn(|_| Slot::new(null_mut()))) };
    match slot.cmpxchg(null_mut(), new.cast(), Full) {
        Ok(_) => new.cast(),
        Err(node) => {
            model::free(new.cast());
            node
        }
    }
}

/// Stores `pointer` at `index`.
///
/// # Safety
///
/// `xa` must be an initialized xarray.
pub unsafe fn store(xa: *mut xarray, index: usize, pointer: *mut c_void) -> Result {
    // SAFETY: The xarray is initialized.
    let mut slot = unsafe { &(*xa).root };

    for level in (0..LEVELS).rev() {
        // SAFETY: Nodes stay until the xarray is destroyed.
        slot = unsafe { slot_in(node_in(slot), level, index) };
    }
    slot.store(pointer, Release);
    Ok(())
}

/// # Safety
///
/// `xa` must be an initialized xarray.
#[inline(never)]
pub unsafe fn xa_load(xa: *mut xarray, index: usize) -> *mut c_void {
    // SAFETY: The xarray is initialized. This is how pointers are loaded here.
    let mut found = unsafe { (*xa).root.as_ptr().read_volatile() };

    for level in (0..LEVELS).rev() {
        if found.is_null() {
            break;
        }
        // SAFETY: Nodes stay until the xarray is destroyed.
        found = unsafe { slot_in(found, level, index).as_ptr().read_volatile() };
    }
    found
}

/// # Safety
///
/// `node` must be a node of `level`, or null, that nobody uses any more.
unsafe fn free_nodes(node: *mut c_void, level: usize) {
    if node.is_null() {
        return;
    }
    if level > 0 {
        // SAFETY: It is a node, and so are those below it.
        unsafe {
            for slot in &*node.cast::<Node>() {
                free_nodes(slot.load(Acquire), level - 1);
            }
        }
    }
    model::free(node.cast());
}

/// # Safety
///
/// `xa` must be an initialized xarray that nobody uses any more.
pub unsafe fn xa_destroy(xa: *mut xarray) {
    // SAFETY: The xarray is initialized, and nobody uses it any more.
    unsafe { free_nodes((*xa).root.load(Acquire), LEVELS - 1) };
}
