// SPDX-License-Identifier: GPL-2.0

//! What most files use of the kernel crate and of `core`, so that a file's own list says what is
//! its own.

pub(crate) use core::{
    iter,
    marker::PhantomData,
    mem,
    ptr::{
        self,
        null_mut,
        NonNull, //
    },
};
pub(crate) use kernel::{
    alloc::{
        Flags,
        NumaNode, //
    },
    bindings,
    device::{
        Bound,
        Device, //
    },
    dma::{
        Coherent,
        DmaAddress, //
    },
    error::to_result,
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed,
            Release, //
        },
        barrier::smp_mb, //
    },
};

/// The C device; a [`Device`] is a transparent wrapper of it.
pub(crate) fn as_raw(dev: &Device) -> *mut bindings::device {
    ptr::from_ref(dev).cast_mut().cast()
}

// For links in comments.
#[cfg(doc)]
pub(crate) use super::super::*;
