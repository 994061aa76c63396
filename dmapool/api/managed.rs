// SPDX-License-Identifier: GPL-2.0

//! Pools that the driver core destroys when the driver detaches.
//!
//! On most buses a driver's private data is dropped before devres releases the device's resources.
//! There, a pool that devres owns outlives everything that a driver can keep, and may be lent for
//! all of `'bound`.

use super::super::sys::prelude::*;
use super::{
    super::{
        allocator::options::Options,
        sys::context, //
    },
    block::Block,
    geometry::Geometry,
    payload::Payload,
    pool::Pool, //
};
use core::ops::Deref;
use kernel::{
    device::Core,
    platform, //
};

/// A device on a bus that drops the driver's private data before devres releases what the driver
/// has allocated for the device.
///
/// It is implemented for the device of each bus of the kernel crate for which this is so, in
/// [`Core`] context, which only the driver's own callbacks get: `probe`, and those until the driver
/// detaches. `device_unbind_cleanup()` in `drivers/base/dd.c` calls `post_unbind_rust()`, which
/// drops the data, and then `devres_release_all()`; it does so after a probe that failed, too. What
/// is left to look at is whether the bus itself releases devres earlier, wholly or by group:
///
/// | device | the bus's own functions, which leave devres alone | in `drivers/` |
/// | --- | --- | --- |
/// | `pci::Device` | `local_pci_probe()`, `pci_device_remove()` | `pci/pci-driver.c` |
/// | `platform::Device` | `platform_probe()`, `platform_remove()` | `base/platform.c` |
/// | `auxiliary::Device` | `auxiliary_bus_probe()`, `auxiliary_bus_remove()` | `base/auxiliary.c` |
/// | `usb::Interface` | `usb_probe_interface()`, `usb_unbind_interface()` | `usb/core/driver.c` |
/// | `serdev::Device` | `serdev_drv_probe()`, `serdev_drv_remove()` | `tty/serdev/core.c` |
///
/// (If a probe on the serdev bus fails, its data goes earlier still: in `probe_callback()` of
/// `rust/kernel/serdev.rs`.)
///
/// `i2c_device_remove()` in `drivers/i2c/i2c-core-base.c` does release a group, before the data is
/// dropped. So a managed pool on I2C does not compile. Nor does one for the device of another
/// driver, such as the parent of an auxiliary device, whose devres may run long after the driver
/// that made the pool is gone; nor one that is made in a callback of some subsystem, which has a
/// [`Device<Bound>`] and may run while devres is being released. There, a driver keeps a [`Pool`]
/// in its own data; see [`Pool::new`].
///
/// # Safety
///
/// For a type that implements this, all of these must hold:
///
/// - A reference to it exists only in callbacks that a bus makes to the driver of that very device,
///   with the device locked, from `probe` on until the driver's data is dropped.
/// - From the beginning of `probe` until the driver's data is dropped, neither the bus nor anything
///   that it calls releases the device's devres, wholly or by group.
/// - When devres is released after that, the driver data of the device, `dev_get_drvdata()`, is
///   null.
///
/// # Examples
///
/// ```compile_fail,E0277
/// use kernel::{
///     device::Core,
///     i2c::I2cClient,
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Geometry,
///     Managed,
///     Pool, //
/// };
///
/// fn probe<'bound>(client: &'bound I2cClient<Core<'_>>) -> Result<Managed<'bound>> {
///     Pool::new_managed(client, c"too early", Geometry::new::<64, 64, 0>())
/// }
/// ```
///
/// ```compile_fail,E0277
/// use kernel::{
///     auxiliary,
///     device::Core,
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Geometry,
///     Managed,
///     Pool, //
/// };
///
/// fn probe<'bound>(adev: &'bound auxiliary::Device<Core<'_>>) -> Result<Managed<'bound>> {
///     Pool::new_managed(adev.parent(), c"too late", Geometry::new::<64, 64, 0>())
/// }
/// ```
///
/// ```compile_fail,E0277
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
/// /// A callback of a subsystem, such as those of `pwm::PwmOps`.
/// fn callback(dev: &Device<Bound>) -> Result {
///     Pool::<[u8]>::new_managed(dev, c"released meanwhile", Geometry::new::<64, 64, 0>())?;
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "devres cannot own a pool for a `{Self}`",
    note = "it takes what `probe` is given, `&pci::Device<Core<'_>>` for example, on a bus that \
            drops the driver's data before it releases devres",
    note = "elsewhere, keep a `Pool::new()` in the driver's data, or take `Pool::new_revocable()`",
    note = "for the parent of an auxiliary device there is `Pool::new_managed_for_parent()`"
)]
pub unsafe trait DataBeforeDevres {
    /// The device itself.
    fn device(&self) -> &Device<Bound>;
}

macro_rules! data_before_devres {
    ($($(#[$attribute:meta])* $device:ty,)*) => {$(
        $(#[$attribute])*
        // SAFETY: The table above says where to read that it is so. `Core` is only in arguments of
        // the callbacks that a driver implements for its bus.
        unsafe impl DataBeforeDevres for $device {
            fn device(&self) -> &Device<Bound> {
                let device: &Device<Core<'_>> = self.as_ref();

                device
            }
        }
    )*};
}

data_before_devres! {
    #[cfg(CONFIG_PCI)]
    kernel::pci::Device<Core<'_>>,
    platform::Device<Core<'_>>,
    #[cfg(CONFIG_AUXILIARY_BUS)]
    kernel::auxiliary::Device<Core<'_>>,
    #[cfg(CONFIG_USB = "y")]
    kernel::usb::Interface<Core<'_>>,
    #[cfg(CONFIG_RUST_SERIAL_DEV_BUS_ABSTRACTIONS)]
    kernel::serdev::Device<Core<'_>>,
}

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
/// Dropping the handle does nothing: the pool stays until the driver detaches. As long as it is
/// there, `rust_dmapool` cannot be unloaded.
///
/// Corresponds to what C's `dmam_pool_create()` returns.
///
/// # Invariants
///
/// `owned` is in a [`KBox`] that a devres action of its owner owns. The action has not run, and
/// will not before `'bound` ends unless through this value.
///
/// # Examples
///
/// A driver that keeps blocks in its private data, and has blocks in its interrupt handler
/// whatever happens:
///
/// ```
/// use kernel::{
///     device::Core,
///     pci,
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Block,
///     Geometry,
///     Options,
///     Pool, //
/// };
///
/// struct DriverData<'bound> {
///     pool: &'bound Pool<'bound, u64>,
///     status: Block<'bound, u64>,
/// }
///
/// impl<'bound> DriverData<'bound> {
///     fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
///         let geometry = Geometry::<u64>::of();
///         let options = Options::new().min_nr(16);
///         let pool = Pool::new_managed_with(pdev, c"status", geometry, options)?.lend();
///
///         Ok(Self {
///             pool,
///             status: pool.zalloc(GFP_KERNEL)?,
///         })
///     }
///
///     fn handle_interrupt(&self) -> Result {
///         let _status = self.pool.alloc(GFP_ATOMIC)?;
///         Ok(())
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
    pub(crate) owned: NonNull<Owned<'bound, T>>,
    lent: PhantomData<&'bound Pool<'bound, T>>,
}

/// A pool, and the device whose devres owns it, which is another one than the pool's if that is for
/// a parent.
#[repr(C)]
pub(crate) struct Owned<'bound, T: Payload + ?Sized> {
    pub(crate) pool: Pool<'bound, T>,
    owner: *mut bindings::device,
}

// SAFETY: A handle is a reference to a pool, which is `Sync`, and destroys it as its only user.
unsafe impl<T: Payload + ?Sized> Send for Managed<'_, T> {}
// SAFETY: As above.
unsafe impl<T: Payload + ?Sized> Sync for Managed<'_, T> {}

/// Destroys a managed pool; the devres action.
///
/// [`DataBeforeDevres`] means that nobody uses the pool any more. Should that not hold, because a
/// bus has changed, the driver's data is still there. The pool is then kept for good, and with it
/// this module, rather than pulled away from under the data.
///
/// # Safety
///
/// `owned` must be an [`Owned`] in a [`KBox`], of whatever payload, which makes no difference to
/// it. Unless its owner has driver data, it must not be used any more.
unsafe extern "C" fn destroy(owned: *mut c_void) {
    let owned = owned.cast::<Owned<'_, [u8]>>();
    // The pool refers to its device once more. That is as valid as ever: devres runs its actions
    // while the device is still there, and before its driver can be bound anew.
    // SAFETY: devres passes what was added with this action.
    let this = &unsafe { &*owned }.pool;

    // SAFETY: This is a device, whose devres this is.
    if unsafe { bindings::dev_get_drvdata((*owned).owner) }.is_null() {
        // SAFETY: Without driver data, the caller vouches that nobody uses the pool.
        drop(unsafe { KBox::from_raw(owned) });
        return;
    }
    let instance = this.instance();

    instance
        .raw
        .err(fmt!("kept, because the driver's data outlives its devres"));
    instance.listed.leave();
}

impl<'bound, T: Payload + ?Sized> Pool<'bound, T> {
    /// A pool that is destroyed when the driver detaches from `dev`, after the driver's private
    /// data is dropped.
    ///
    /// `dev` is what the driver's `probe` is given, on a bus for which this is sound; see
    /// [`DataBeforeDevres`]. The other arguments are as for [`Pool::new`]. Process context; may
    /// sleep.
    ///
    /// Corresponds to C's `dmam_pool_create()`.
    ///
    /// # Errors
    ///
    /// As [`Pool::new`]; also [`ENOMEM`] if the driver core cannot take charge of the pool, and
    /// [`ENODEV`] if this module is being unloaded.
    ///
    /// # Examples
    ///
    /// See [`Managed`].
    pub fn new_managed(
        dev: &'bound impl DataBeforeDevres,
        name: &CStr,
        geometry: Geometry<T>,
    ) -> Result<Managed<'bound, T>> {
        Self::new_managed_with(dev, name, geometry, Options::new())
    }

    /// Like [`Pool::new_managed`], with more to it; see [`Options`].
    ///
    /// Process context; may sleep.
    ///
    /// # Errors
    ///
    /// As [`Pool::new_managed`]; also [`ENOMEM`] if the reserve cannot be filled.
    ///
    /// # Examples
    ///
    /// See [`Managed`].
    pub fn new_managed_with(
        dev: &'bound impl DataBeforeDevres,
        name: &CStr,
        geometry: Geometry<T>,
        options: Options,
    ) -> Result<Managed<'bound, T>> {
        let device = dev.device();

        // SAFETY: `DataBeforeDevres` promises that the driver's data, and `'bound` with it, ends
        // before devres is released, or else that the device has driver data then.
        unsafe { Self::managed_by(device, device, name, geometry, options) }
    }

    /// Like [`Pool::new_managed_with`], for the device that created `adev`: often that is the one
    /// which does DMA.
    ///
    /// It ends when the driver detaches from `adev`, which it does before the parent's does. There
    /// is none for other devices, which may be unbound while the pool is there: a driver that has
    /// another one bound keeps a [`Pool`] in its own data, see [`Pool::new`].
    ///
    /// # Errors
    ///
    /// As [`Pool::new_managed_with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     auxiliary,
    ///     device::Core,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Geometry,
    ///     Options,
    ///     Pool, //
    /// };
    ///
    /// fn probe<'bound>(
    ///     adev: &'bound auxiliary::Device<Core<'_>>,
    /// ) -> Result<&'bound Pool<'bound, u64>> {
    ///     let options = Options::new();
    ///
    ///     Ok(Pool::new_managed_for_parent(adev, c"of both", Geometry::of(), options)?.lend())
    /// }
    /// ```
    #[cfg(CONFIG_AUXILIARY_BUS)]
    pub fn new_managed_for_parent(
        adev: &'bound kernel::auxiliary::Device<Core<'_>>,
        name: &CStr,
        geometry: Geometry<T>,
        options: Options,
    ) -> Result<Managed<'bound, T>> {
        // SAFETY: As above. The parent is bound for as long as `adev` is, devres of which is
        // released before that ends.
        unsafe { Self::managed_by(adev.device(), adev.parent(), name, geometry, options) }
    }

    /// # Safety
    ///
    /// When devres of `owner` is released, `'bound` must have ended, or `owner` have driver data;
    /// and `dev` must be bound.
    pub(crate) unsafe fn managed_by(
        owner: &Device<Bound>,
        dev: &'bound Device<Bound>,
        name: &CStr,
        geometry: Geometry<T>,
        options: Options,
    ) -> Result<Managed<'bound, T>> {
        // devres may destroy the pool when there is no user of the module left.
        let options = Options {
            holds_module: true,
            ..options
        };
        let owner = as_raw(owner);
        let pool = Self::new_with(dev, name, geometry, options)?;
        let owned = KBox::into_raw(KBox::new(Owned { pool, owner }, GFP_KERNEL)?);

        // SAFETY: `owner` is bound.
        let added = unsafe { bindings::devm_add_action(owner, Some(destroy), owned.cast()) };
        to_result(added).inspect_err(|_| {
            // SAFETY: It comes from `into_raw`, and devres does not have it.
            drop(unsafe { KBox::from_raw(owned) });
        })?;

        // INVARIANT: devres has the pool now. The caller vouches that it destroys the
        // pool only after the last use of `'bound`.
        Ok(Managed {
            owned: NonNull::new(owned).ok_or(ENOMEM)?,
            lent: PhantomData,
        })
    }
}

impl<'bound, T: Payload + ?Sized> Managed<'bound, T> {
    /// Lends the pool with some blocks of it, if `look` returns any; destroys it if that fails.
    ///
    /// For drivers that look at what they get before they decide, and otherwise make a pool anew,
    /// with another boundary for instance: until `look` returns, its blocks borrow from the handle,
    /// and after that they are as good as those of a pool that was lent. Process context; may
    /// sleep.
    ///
    /// # Errors
    ///
    /// What `look` returns.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     device::Core,
    ///     pci,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Block,
    ///     Geometry,
    ///     Pool, //
    /// };
    ///
    /// type Frames<'bound> = (&'bound Pool<'bound>, KVec<Block<'bound>>);
    ///
    /// /// A hundred frames, none of which crosses 4 GiB.
    /// fn frames<'bound>(pdev: &'bound pci::Device<Core<'_>>) -> Result<Frames<'bound>> {
    ///     let pool = Pool::new_managed(pdev, c"frames", Geometry::new::<1024, 256, 0>())?;
    ///     let lent = pool.lend_with(|pool| {
    ///         let mut frames = KVec::new();
    ///
    ///         for _ in 0..100 {
    ///             let frame = pool.alloc(GFP_KERNEL)?;
    ///
    ///             if frame.dma_address() >> 32 != (frame.dma_address() + 1023) >> 32 {
    ///                 return Err(ERANGE);
    ///             }
    ///             frames.push(frame, GFP_KERNEL)?;
    ///         }
    ///         Ok(frames)
    ///     });
    ///
    ///     lent.or_else(|_| {
    ///         let geometry = Geometry::new::<1024, 256, { 1 << 32 }>();
    ///         let pool = Pool::new_managed(pdev, c"frames", geometry)?.lend();
    ///
    ///         Ok((pool, KVec::new()))
    ///     })
    /// }
    /// ```
    ///
    /// None of its blocks can be kept elsewhere, because the pool may end:
    ///
    /// ```compile_fail,E0521
    /// use kernel::prelude::*;
    /// use rust_dmapool::{
    ///     Block,
    ///     Managed, //
    /// };
    ///
    /// fn keep<'bound>(managed: Managed<'bound>, kept: &mut Option<Block<'bound>>) -> Result {
    ///     managed.lend_with(|pool| {
    ///         *kept = Some(pool.alloc(GFP_KERNEL)?);
    ///         Err(EAGAIN)
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    pub fn lend_with(
        self,
        look: impl for<'lent> FnOnce(&'lent Pool<'bound, T>) -> Result<KVec<Block<'lent, T>>>,
    ) -> Result<(&'bound Pool<'bound, T>, KVec<Block<'bound, T>>)> {
        // SAFETY: By the type invariants the pool is there, and lives for `'bound` if it is lent.
        let pool = unsafe { &self.owned.as_ref().pool };

        look(pool)
            .map(|blocks| (pool, blocks))
            .inspect_err(|_| self.destroy())
    }

    /// Lends the pool for as long as the device is bound.
    ///
    /// Any context. There is no way back: from now on only detaching destroys the pool.
    ///
    /// # Examples
    ///
    /// See [`Managed`]. Neither the pool nor a block of it can be put where it would be used after
    /// the driver's data is gone. Not into another resource of the device:
    ///
    /// ```compile_fail,E0521
    /// use kernel::{
    ///     device::Core,
    ///     devres,
    ///     pci,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::Managed;
    ///
    /// fn probe(pdev: &pci::Device<Core<'_>>, managed: Managed<'_>) -> Result {
    ///     let block = managed.lend().alloc(GFP_KERNEL)?;
    ///
    ///     devres::register(pdev.as_ref(), block, GFP_KERNEL)
    /// }
    /// ```
    ///
    /// Not into a work item, or anything else that runs by itself:
    ///
    /// ```compile_fail,E0521
    /// use kernel::{
    ///     prelude::*,
    ///     workqueue, //
    /// };
    /// use rust_dmapool::Managed;
    ///
    /// fn free_later(managed: Managed<'_>) -> Result {
    ///     let block = managed.lend().alloc(GFP_KERNEL)?;
    ///
    ///     workqueue::system().try_spawn(GFP_KERNEL, move || drop(block))?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Not into a file that people may hold open:
    ///
    /// ```compile_fail,E0521
    /// use kernel::{
    ///     debugfs,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::Managed;
    ///
    /// fn show(dir: &debugfs::Dir, managed: Managed<'_>) -> Result {
    ///     let block = managed.lend().alloc(GFP_KERNEL)?;
    ///
    ///     KBox::pin_init(
    ///         dir.read_callback_file(c"block", block, &|block, f| writeln!(f, "{block:?}")),
    ///         GFP_KERNEL,
    ///     )?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Nor into a static:
    ///
    /// ```compile_fail,E0521
    /// use kernel::{
    ///     prelude::*,
    ///     sync::SetOnce, //
    /// };
    /// use rust_dmapool::{
    ///     Managed,
    ///     Pool, //
    /// };
    ///
    /// static POOL: SetOnce<&'static Pool<'static>> = SetOnce::new();
    ///
    /// fn keep(managed: Managed<'_>) {
    ///     POOL.populate(managed.lend());
    /// }
    /// ```
    pub fn lend(self) -> &'bound Pool<'bound, T> {
        // SAFETY: By the type invariants the pool lives until `'bound` ends, unless it is
        // destroyed through `self`, which is gone.
        unsafe { &self.owned.as_ref().pool }
    }

    /// Destroys the pool now, rather than when the driver detaches.
    ///
    /// Process context; may sleep. Elsewhere it does nothing, and the pool stays until the driver
    /// detaches. Nothing can borrow from the pool any more. Blocks that were
    /// forgotten are reported, and their pages kept, as when dropping a [`Pool`].
    ///
    /// Corresponds to C's `dmam_pool_destroy()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     device::Core,
    ///     pci,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::{
    ///     Geometry,
    ///     Pool, //
    /// };
    ///
    /// fn load_firmware(pdev: &pci::Device<Core<'_>>) -> Result {
    ///     let pool = Pool::<[u8]>::new_managed(pdev, c"fw", Geometry::new::<4096, 4096, 0>())?;
    ///
    ///     let block = pool.alloc(GFP_KERNEL)?;
    ///     // Load the firmware through `block` here.
    ///     drop(block);
    ///     pool.destroy();
    ///     Ok(())
    /// }
    /// ```
    pub fn destroy(self) {
        // Where it cannot be destroyed, devres does it later.
        if !context::may_sleep() {
            return;
        }
        let owned = self.owned.as_ptr();
        // SAFETY: By the type invariants this is there, and so is its owner.
        let removed = unsafe {
            bindings::devm_remove_action_nowarn((*owned).owner, Some(destroy), owned.cast())
        };

        // If devres has run already, it has kept the pool for good.
        if removed == 0 {
            // SAFETY: By the type invariants the pool is in a box, and nobody else has it now: not
            // devres, and nobody who borrows, because `self` was passed by value.
            drop(unsafe { KBox::from_raw(owned) });
        }
    }
}

impl<'bound, T: Payload + ?Sized> Deref for Managed<'bound, T> {
    type Target = Pool<'bound, T>;

    fn deref(&self) -> &Pool<'bound, T> {
        // SAFETY: By the type invariants the pool lives at least as long as `self`.
        unsafe { &self.owned.as_ref().pool }
    }
}
