// SPDX-License-Identifier: GPL-2.0

use crate::{
    bindings,
    prelude::*,
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    ops::Deref, //
};

pub struct Bound;
pub struct Normal;

#[repr(transparent)]
pub struct Device<Context = Normal>(Opaque<bindings::device>, PhantomData<Context>);

impl<Context> Device<Context> {
    pub fn complain(&self, message: &str) {
        panic!("the pool complains: {message}");
    }
}

impl Device<Bound> {
    /// A device that stays, with a list of C's pools that is empty.
    pub fn new() -> Result<&'static Self> {
        // SAFETY: All zero is valid, as for C.
        let device = KBox::into_raw(KBox::new(
            unsafe { core::mem::zeroed::<Self>() },
            GFP_KERNEL,
        )?);

        // SAFETY: It was just made, and nobody frees it.
        unsafe {
            let raw = (*device).0.get();
            let head = &raw mut (*raw).dma_pools;

            head.write(bindings::list_head {
                next: head,
                prev: head,
            });
            (*raw).coherent_dma_mask = u64::MAX;
            Ok(&*device)
        }
    }
}

impl Deref for Device<Bound> {
    type Target = Device;

    fn deref(&self) -> &Device {
        // SAFETY: The two differ in a type that has no value.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
}
