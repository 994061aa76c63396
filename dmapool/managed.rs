// SPDX-License-Identifier: GPL-2.0

//! Pools that the driver core destroys when the driver detaches.
//!
//! A driver's private data is dropped before devres releases the device's resources. So a pool that
//! devres owns outlives everything that a driver can keep, and may be lent for all of `'bound`.

use crate::{
    geometry::Geometry,
    payload::Payload,
    pool::Pool,
    raw_pool::RawPool, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    alloc::NumaNode,
    bindings,
    device::{
        Bound,
        Device, //
    },
    error::to_result,
    prelude::*, //
};

/// A [`Pool`] that the driver core destroys when the driver detaches from the device.
///
/// It is destroyed after the driver's private data is dropped. Until then there are three ways to
/// use it:
///
/// - through this handle, which dereferences to the pool;
/// - [`Managed::lend`] turns the handle into a reference that is good for as long as the device is
///   bound, so that blocks can be kept next to it;
/// - [`Managed::destroy`] destroys it early, while nothing borrows from it.
///
/// Dropping the handle does nothing: the pool stays until the driver detaches.
///
/// Corresponds to what C's `dmam_pool_create()` returns.
///
/// # Invariants
///
/// `raw` is a pool in a [`KBox`] that a devres action of its device owns. `T` fits its blocks. The
/// action has not run, and will not before `'bound` ends unless through this value.
///
/// # Examples
///
/// A driver that keeps blocks in its private data:
///
/// ```
/// use kernel::{
///     device::{
///         Bound,
///         Device, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Block,
///     Geometry,
///     Pool, //
/// };
///
/// struct DriverData<'bound> {
///     pool: &'bound Pool<'bound, u64>,
///     status: Block<'bound, u64>,
/// }
///
/// impl<'bound> DriverData<'bound> {
///     fn new(dev: &'bound Device<Bound>) -> Result<Self> {
///         let pool = Pool::new_managed(dev, c"status", Geometry::of::<u64>())?.lend();
///
///         Ok(Self {
///             pool,
///             status: pool.zalloc(GFP_KERNEL)?,
///         })
///     }
/// }
/// ```
///
/// A pool that is lent cannot be destroyed:
///
/// ```compile_fail,E0382
/// use rust_dmapool::Managed;
///
/// fn destroy_lent(managed: Managed<'_>) {
///     let _pool = managed.lend();
///
///     managed.destroy();
/// }
/// ```
///
/// Nor can one whose blocks are held:
///
/// ```compile_fail,E0505
/// use kernel::prelude::*;
/// use rust_dmapool::Managed;
///
/// fn destroy_used(managed: Managed<'_>) -> Result {
///     let block = managed.alloc(GFP_KERNEL)?;
///
///     managed.destroy();
///     drop(block);
///     Ok(())
/// }
/// ```
pub struct Managed<'bound, T: Payload + ?Sized = [u8]> {
    raw: NonNull<RawPool<'bound>>,
    payload: PhantomData<&'bound Pool<'bound, T>>,
}

// SAFETY: A handle is a reference to a pool, which is `Sync`, and destroys it as its only user.
unsafe impl<T: Payload + ?Sized> Send for Managed<'_, T> {}
// SAFETY: As above.
unsafe impl<T: Payload + ?Sized> Sync for Managed<'_, T> {}

/// Destroys a managed pool; the devres action.
///
/// # Safety
///
/// `raw` must be a [`RawPool`] in a [`KBox`] that is not used any more.
unsafe extern "C" fn destroy(raw: *mut c_void) {
    // The pool refers to its device once more. That is as valid as ever: devres runs its actions
    // while the device is still there, and before its driver can be bound anew.
    // SAFETY: By the requirements of this function.
    drop(unsafe { KBox::from_raw(raw.cast::<RawPool<'_>>()) });
}

/// The C device; a [`Device`] is a transparent wrapper of it.
fn as_raw(dev: &Device) -> *mut bindings::device {
    ptr::from_ref(dev).cast_mut().cast()
}

impl<'bound, T: Payload + ?Sized> Pool<'bound, T> {
    /// A pool that is destroyed when the driver detaches from `dev`, after the driver's private
    /// data is dropped.
    ///
    /// Arguments as for [`Pool::new`]. Process context; may sleep.
    ///
    /// Corresponds to C's `dmam_pool_create()`.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`]; also [`ENOMEM`] if the driver core cannot take charge of the pool.
    ///
    /// # Examples
    ///
    /// See [`Managed`].
    pub fn new_managed(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry,
    ) -> Result<Managed<'bound, T>> {
        Self::new_managed_on_node(dev, name, geometry, NumaNode::NO_NODE)
    }

    /// Like [`Pool::new_managed`], with the page records on NUMA node `node`.
    ///
    /// Process context; may sleep.
    ///
    /// # Errors
    ///
    /// As [`Pool::new_managed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     alloc::NumaNode,
    ///     device::{
    ///         Bound,
    ///         Device, //
    ///     },
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Geometry,
    ///     Managed,
    ///     Pool, //
    /// };
    ///
    /// fn example(dev: &Device<Bound>) -> Result<Managed<'_>> {
    ///     let geometry = Geometry::new::<128, 64, 0>();
    ///
    ///     Pool::new_managed_on_node(dev, c"node 0", geometry, NumaNode::new(0)?)
    /// }
    /// ```
    pub fn new_managed_on_node(
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry,
        node: NumaNode,
    ) -> Result<Managed<'bound, T>> {
        let mut raw = KBox::new(Self::raw(dev, name, geometry, node)?, GFP_KERNEL)?;

        // SAFETY: The pool never leaves its box.
        unsafe { raw.list() };
        let raw = KBox::into_raw(raw);

        // SAFETY: `dev` is bound. `destroy` may be called with `raw` at any time from now on; on
        // failure it has been.
        to_result(unsafe {
            bindings::devm_add_action_or_reset(as_raw(dev), Some(destroy), raw.cast())
        })?;

        // INVARIANT: devres has the pool now, and releases a device's resources only after the
        // driver's private data was dropped, with which the last use of `'bound` ends. `Pool::raw`
        // checked that `T` fits.
        Ok(Managed {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            payload: PhantomData,
        })
    }
}

impl<'bound, T: Payload + ?Sized> Managed<'bound, T> {
    /// Lends the pool for as long as the device is bound.
    ///
    /// Any context. There is no way back: from now on only detaching destroys the pool.
    ///
    /// # Examples
    ///
    /// See [`Managed`].
    pub fn lend(self) -> &'bound Pool<'bound, T> {
        // SAFETY: By the type invariants the pool lives until `'bound` ends, unless it is
        // destroyed through `self`, which is gone. `Pool` is a transparent wrapper.
        unsafe { self.raw.cast::<Pool<'bound, T>>().as_ref() }
    }

    /// Destroys the pool now, rather than when the driver detaches.
    ///
    /// Process context; may sleep. Nothing can borrow from the pool any more. Blocks that were
    /// forgotten are reported, and their pages kept, as when dropping a [`Pool`].
    ///
    /// Corresponds to C's `dmam_pool_destroy()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     device::{
    ///         Bound,
    ///         Device, //
    ///     },
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Geometry,
    ///     Pool, //
    /// };
    ///
    /// fn load_firmware(dev: &Device<Bound>) -> Result {
    ///     let pool = Pool::<[u8]>::new_managed(dev, c"fw", Geometry::new::<4096, 4096, 0>())?;
    ///
    ///     let block = pool.alloc(GFP_KERNEL)?;
    ///     // Load the firmware through `block` here.
    ///     drop(block);
    ///     pool.destroy();
    ///     Ok(())
    /// }
    /// ```
    pub fn destroy(self) {
        let dev = self.device();

        // SAFETY: `dev` is bound, and by the type invariants the action is registered with these
        // very arguments. Nobody uses the pool any more, because `self` was passed by value.
        unsafe {
            bindings::devm_release_action(as_raw(dev), Some(destroy), self.raw.as_ptr().cast())
        };
    }
}

impl<'bound, T: Payload + ?Sized> Deref for Managed<'bound, T> {
    type Target = Pool<'bound, T>;

    fn deref(&self) -> &Pool<'bound, T> {
        // SAFETY: By the type invariants the pool lives at least as long as `self`. `Pool` is a
        // transparent wrapper.
        unsafe { self.raw.cast::<Pool<'bound, T>>().as_ref() }
    }
}
