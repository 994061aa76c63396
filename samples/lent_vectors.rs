// SPDX-License-Identifier: GPL-2.0

//! Interrupt vectors that a driver can keep in its data, beside their handlers.
//!
//! `irq::Registration` borrows from `pci::IrqVectorRegistration`, so one cannot lie beside the
//! other. This gives the vectors to devres, and lends them for as long as the device is bound.

use kernel::{
    bindings,
    device::{
        Bound,
        Core, //
    },
    error::to_result,
    pci,
    prelude::*, //
};

type Vectors<'bound> = pci::IrqVectorRegistration<'bound>;

/// Has devres free `vectors` after the driver's data is gone.
pub(crate) fn lend<'bound>(
    pdev: &'bound pci::Device<Core<'_>>,
    vectors: Vectors<'bound>,
) -> Result<&'bound Vectors<'bound>> {
    let pdev: *const pci::Device<Bound> = &**pdev;
    let vectors = KBox::into_raw(KBox::new(vectors, GFP_KERNEL)?);

    // SAFETY: The device is valid and bound, and has the struct device that is asked for in it; the
    // vectors are the action's from here on.
    to_result(unsafe {
        let raw = pdev.cast_mut().cast::<bindings::pci_dev>();

        bindings::devm_add_action_or_reset(&mut (*raw).dev, Some(free), vectors.cast())
    })?;

    // SAFETY: On PCI, devres runs after the driver's data was dropped: `device_unbind_cleanup()`
    // calls `post_unbind_rust()`, then `devres_release_all()`. Nothing else that has `'bound` in
    // its type lives longer. What is lent has nothing in it that could be changed or dropped
    // meanwhile, so it does not matter that it is dropped while the reference has not ended.
    Ok(unsafe { &*vectors })
}

/// # Safety
///
/// Only devres may call this, once, with what [`lend`] gave it.
unsafe extern "C" fn free(vectors: *mut c_void) {
    // SAFETY: It comes from `KBox::into_raw()`, and whoever borrowed is gone.
    drop(unsafe { KBox::from_raw(vectors.cast::<Vectors<'_>>()) });
}
