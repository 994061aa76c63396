// SPDX-License-Identifier: GPL-2.0

//! Interrupt vectors that a driver can keep in its data, beside their handlers.

use super::super::{
    module::ModuleRef,
    sys::prelude::*, //
};
use kernel::{
    device::Core,
    pci, //
};

/// Like [`pci::Device::alloc_irq_vectors`], but devres owns the vectors, and lends them for as long
/// as the device is bound, as [`Managed::lend`] does with a pool.
///
/// An [`irq::Registration`](kernel::irq::Registration) borrows from its vectors, so that a driver
/// could not keep both in its data. It can keep the registrations of vectors that are lent, with
/// handlers that have blocks. Handlers in threads, of
/// [`irq::ThreadedRegistration`](kernel::irq::ThreadedRegistration), are as good. Process context;
/// may sleep.
///
/// A driver that calls [`pci::Device::alloc_irq_vectors`] besides frees these, too, when it drops
/// what that returns: they are the device's.
///
/// # Errors
///
/// As [`pci::Device::alloc_irq_vectors`]; also [`ENOMEM`] if the driver core cannot take charge of
/// the vectors, and [`ENODEV`] if this module is being unloaded.
///
/// # Examples
///
/// ```
/// use kernel::{
///     device::Core,
///     io::Io,
///     irq,
///     pci,
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     lend_vectors,
///     Block, //
/// };
///
/// struct Handler<'bound> {
///     status: Block<'bound, u64>,
/// }
///
/// impl irq::Handler for Handler<'_> {
///     fn handle(&self) -> irq::IrqReturn {
///         match self.status.copy_read() {
///             0 => irq::IrqReturn::None,
///             _ => irq::IrqReturn::Handled,
///         }
///     }
/// }
///
/// fn register<'bound>(
///     pdev: &'bound pci::Device<Core<'_>>,
///     status: Block<'bound, u64>,
/// ) -> Result<Pin<KBox<irq::Registration<'bound, Handler<'bound>>>>> {
///     let vectors = lend_vectors(pdev, 1, 1, pci::IrqTypes::all())?;
///     // SAFETY: The registration is kept in the driver's data, which is dropped.
///     let registration = unsafe {
///         irq::Registration::new(
///             vectors.index(0)?.into(),
///             irq::Flags::SHARED,
///             c"status",
///             Ok::<_, Error>(Handler { status }),
///         )
///     };
///
///     KBox::pin_init(registration, GFP_KERNEL)
/// }
/// ```
///
/// Whoever has no vectors of its own to allocate does not get them in a callback, which may run
/// while they are being freed:
///
/// ```compile_fail,E0308
/// use kernel::{
///     device::Bound,
///     pci,
///     prelude::*, //
/// };
/// use rust_dmapool::lend_vectors;
///
/// fn callback(pdev: &pci::Device<Bound>) -> Result {
///     lend_vectors(pdev, 1, 1, pci::IrqTypes::all())?;
///     Ok(())
/// }
/// ```
pub fn lend_vectors<'bound>(
    pdev: &'bound pci::Device<Core<'_>>,
    min_vecs: u32,
    max_vecs: u32,
    irq_types: pci::IrqTypes,
) -> Result<&'bound pci::IrqVectorRegistration<'bound>> {
    let bound: &'bound pci::Device<Bound> = pdev;
    let device: &Device<Bound> = bound.as_ref();
    let vectors = bound.alloc_irq_vectors(min_vecs, max_vecs, irq_types)?;
    let lent = Lent {
        vectors,
        device: as_raw(device),
        _module: ModuleRef::new()?,
    };
    let lent = KBox::into_raw(KBox::new(lent, GFP_KERNEL)?);

    // SAFETY: The device is bound. What is lent is the action's from here on, even if this fails.
    to_result(unsafe {
        bindings::devm_add_action_or_reset(as_raw(device), Some(free), lent.cast())
    })?;
    // SAFETY: On PCI, devres runs after the driver's data was dropped, and nothing else that has
    // `'bound` in its type lives longer; see `DataBeforeDevres`. Vectors have nothing in them that
    // refers to what was lent later, so it does not matter that they end before `'bound` does.
    Ok(unsafe { &(*lent).vectors })
}

/// Vectors, and the module that frees them when there may be no user of it left.
struct Lent<'bound> {
    vectors: pci::IrqVectorRegistration<'bound>,
    device: *mut bindings::device,
    _module: ModuleRef,
}

/// Frees vectors that were lent; the devres action.
///
/// # Safety
///
/// `lent` must be [`lend_vectors`]'s, and must not be used any more.
unsafe extern "C" fn free(lent: *mut c_void) {
    let lent = lent.cast::<Lent<'_>>();

    // Should PCI have changed, so that the driver's data is still there, they stay, as pools do.
    // SAFETY: The caller vouches for what was lent, and the device is there.
    if unsafe { bindings::dev_get_drvdata((*lent).device) }.is_null() {
        // SAFETY: The caller vouches for both.
        drop(unsafe { KBox::from_raw(lent) });
    }
}
