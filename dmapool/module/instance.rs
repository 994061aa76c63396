// SPDX-License-Identifier: GPL-2.0

//! A pool as this module keeps it: in a box, listed in debugfs, and holding the module if it may be
//! destroyed late.

use super::super::sys::prelude::*;
use super::{
    super::allocator::{
        geometry::RawGeometry,
        options::Options,
        pool::RawPool,
        trace, //
    },
    debugfs,
    mark::Mark,
    module_ref::ModuleRef, //
};

/// A pool in its box, in which it stays, because its slabs and debugfs know where it is.
///
/// The fields are dropped in this order: the module goes last. They lie in this order, too: the
/// interface for C looks at the first word.
#[repr(C)]
pub(crate) struct Instance<'bound> {
    pub(crate) mark: Mark,
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
    /// The memory of the pool must not be freed but by dropping it.
    pub(crate) unsafe fn new(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: RawGeometry,
        options: Options,
    ) -> Result<KBox<Self>> {
        let module = if options.holds_module {
            Some(ModuleRef::new()?)
        } else {
            None
        };
        let this = KBox::new(
            Self {
                mark: Mark::new(),
                raw: RawPool::new(dev, name, geometry, options)?,
                _module: module,
            },
            GFP_KERNEL,
        )?;

        trace::create::call(&this.raw, geometry.page_size(), 0);
        // SAFETY: Nobody has used the pool, and it does not leave its box.
        unsafe { this.raw.start()? };
        // Last, because from then on debugfs looks at the pool. It can do without.
        // SAFETY: The pool does not leave its box, and is taken off the list before it is dropped.
        let _ = unsafe { debugfs::list(&this.raw) };
        Ok(this)
    }
}

impl Drop for Instance<'_> {
    /// Process context; may sleep.
    fn drop(&mut self) {
        let pool = &self.raw;

        debugfs::unlist(pool);
        // All blocks are counted for that.
        if trace::destroy::is_on() {
            trace::destroy::call(pool, pool.geometry().page_size(), pool.statistics().live);
        }
    }
}
