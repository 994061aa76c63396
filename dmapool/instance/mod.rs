// SPDX-License-Identifier: GPL-2.0

//! A pool as it is kept: in a box, listed in debugfs, and holding the module if it may be destroyed
//! late.

pub(crate) mod debugfs;

use self::debugfs::Listed;
use super::sys::prelude::*;
use super::{
    allocator::{
        geometry::RawGeometry,
        options::Options,
        pool::RawPool,
        trace, //
    },
    module::ModuleRef, //
};

/// A pool in its box, in which it stays, because its slabs and debugfs know where it is.
///
/// The fields are dropped in this order: the module goes last. They lie in this order, too: `head`
/// is what the interface for C has at the beginning of its pools.
#[repr(C)]
pub(crate) struct Instance<'bound, Head = ()> {
    pub(crate) head: Head,
    pub(crate) raw: RawPool<'bound>,
    pub(crate) listed: Listed,
    _module: Option<ModuleRef>,
}

impl<'bound, Head> Instance<'bound, Head> {
    /// See [`Pool::new_with`]. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// As there; also [`ENODEV`] if the pool is to hold the module, and that is being unloaded.
    ///
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
        let module = if options.holds_module {
            Some(ModuleRef::new()?)
        } else {
            None
        };
        let this = KBox::new(
            Self {
                head,
                raw: RawPool::new(dev, name, geometry, options)?,
                listed: Listed::new(),
                _module: module,
            },
            GFP_KERNEL,
        )?;

        // SAFETY: Nobody has used the pool, and it does not leave its box.
        unsafe { this.raw.start()? };
        // Last, because from then on debugfs looks at the pool.
        // SAFETY: Neither leaves its box, and it is taken off the list before that is dropped.
        unsafe { this.listed.enter(&this.raw) };
        Ok(this)
    }
}

impl<Head> Drop for Instance<'_, Head> {
    /// Process context; may sleep.
    fn drop(&mut self) {
        end(&self.raw, &self.listed);
    }
}

/// The end of a pool, in this module: what is inlined into others knows two tracepoints only.
#[inline(never)]
fn end(pool: &RawPool<'_>, listed: &Listed) {
    listed.leave();
    // All blocks are counted for that.
    if trace::destroy::is_on() {
        trace::destroy::call(pool, pool.geometry().page_size(), pool.statistics().live);
    }
}
