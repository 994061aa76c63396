// SPDX-License-Identifier: GPL-2.0

//! A pool in its box: there is no debugfs to list it, and no module to hold.

use crate::{
    geometry::Geometry,
    gfp,
    mark::Mark,
    options::Options,
    raw_pool::RawPool, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*, //
};

#[repr(C)]
pub(crate) struct Instance<'bound> {
    pub(crate) mark: Mark,
    pub(crate) raw: RawPool<'bound>,
}

impl<'bound> Instance<'bound> {
    /// # Safety
    ///
    /// The memory of the pool must not be freed but by dropping it.
    pub(crate) unsafe fn new(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry,
        options: Options,
    ) -> Result<KBox<Self>> {
        // SAFETY: Nobody allocates before the pool is in its box, and no work refills it.
        let raw = unsafe { RawPool::new(dev, name, geometry, options)? };
        let this = KBox::new(
            Self {
                mark: Mark::new(raw.plain_alloc),
                raw,
            },
            GFP_KERNEL,
        )?;

        this.raw.refill(gfp::without_oom(GFP_KERNEL))?;
        Ok(this)
    }
}
