// SPDX-License-Identifier: GPL-2.0

//! A pool as this module keeps it: in a box, listed in debugfs, and holding the module if it may be
//! destroyed late.

use crate::{
    debugfs::Registration,
    geometry::Geometry,
    gfp,
    mark::Mark,
    module_ref::ModuleRef,
    options::Options,
    raw_pool::RawPool, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::SetOnce, //
};

/// A pool in its box, in which it stays, because its pages and debugfs know where it is.
///
/// The fields are dropped in this order: nobody looks at the pool when it goes, and the module goes
/// last. They lie in this order, too: the interface for C looks at the first word.
#[repr(C)]
pub(crate) struct Instance<'bound> {
    pub(crate) mark: Mark,
    listing: SetOnce<Registration>,
    pub(crate) raw: RawPool<'bound>,
    _module: Option<ModuleRef>,
}

impl<'bound> Instance<'bound> {
    /// See [`crate::Pool::new_with`]. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// As there; also [`ENODEV`] if the pool is to hold the module, and that is being unloaded.
    ///
    /// # Safety
    ///
    /// - The memory of the pool must not be freed but by dropping it.
    /// - If the pool is to be refilled by work, then before its device is unbound it must be
    ///   dropped, or [`Instance::retire`] be called.
    pub(crate) unsafe fn new(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry,
        options: Options,
    ) -> Result<KBox<Self>> {
        let module = if options.holds_module {
            Some(ModuleRef::new()?)
        } else {
            None
        };
        // SAFETY: Nobody allocates before the pool is in its box. The caller sees to the end of its
        // work.
        let raw = unsafe { RawPool::new(dev, name, geometry, options)? };
        let this = KBox::new(
            Self {
                mark: Mark::new(raw.plain_alloc),
                listing: SetOnce::new(),
                raw,
                _module: module,
            },
            GFP_KERNEL,
        )?;

        this.raw.refill(gfp::without_oom(GFP_KERNEL))?;
        // Last, because from then on debugfs looks at the pool. It can do without.
        // SAFETY: The pool does not leave its box, and drops the registration before all else.
        if let Ok(listing) = unsafe { Registration::new(&this.raw) } {
            this.listing.populate(listing);
        }
        Ok(this)
    }

    /// Ends what the pool does by itself, if it is to stay for good: it is listed no more, and its
    /// work item does not run. Process context; may sleep.
    pub(crate) fn retire(&self) {
        if let Some(listing) = self.listing.as_ref() {
            listing.end();
        }
        self.raw.stop_refilling();
    }
}
