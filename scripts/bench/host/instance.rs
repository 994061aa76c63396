// SPDX-License-Identifier: GPL-2.0

//! A pool in its box: there is no debugfs to list it, and no module to hold.

use super::allocator::{
    geometry::RawGeometry,
    options::Options,
    pool::RawPool, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*, //
};

#[repr(C)]
pub(crate) struct Instance<'bound, Head = ()> {
    pub(crate) head: Head,
    pub(crate) raw: RawPool<'bound>,
}

impl<'bound, Head> Instance<'bound, Head> {
    /// # Safety
    ///
    /// The memory of the pool must not be freed but by dropping it.
    pub(crate) unsafe fn new(
        head: Head,
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: RawGeometry,
        options: Options,
    ) -> Result<KBox<Self>> {
        let this = KBox::new(
            Self {
                head,
                raw: RawPool::new(dev, name, geometry, options)?,
            },
            GFP_KERNEL,
        )?;

        // SAFETY: Nobody has used the pool, and it stays in its box.
        unsafe { this.raw.start()? };
        Ok(this)
    }
}
