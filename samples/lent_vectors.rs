// SPDX-License-Identifier: GPL-2.0

//! Interrupt vectors that a driver can keep in its data, beside their handlers.
//!
//! `irq::Registration` borrows from `pci::IrqVectorRegistration`, so one cannot lie beside the
//! other. Here, the vectors belong to devres, and are lent for as long as the device is bound.

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

/// As [`pci::Device::alloc_irq_vectors`], but devres frees the vectors, after the driver's data is
/// gone.
pub(crate) fn alloc<'bound>(
    pdev: &'bound pci::Device<Core<'_>>,
    min: u32,
    max: u32,
    types: pci::IrqTypes,
) -> Result<&'bound Vectors<'bound>> {
    let pdev: &'bound pci::Device<Bound> = pdev;
    let vectors = KBox::new(pdev.alloc_irq_vectors(min, max, types)?, GFP_KERNEL)?;
    let vectors = KBox::into_raw(vectors);
    let raw = core::ptr::from_ref(pdev)
        .cast_mut()
        .cast::<bindings::pci_dev>();

    // SAFETY: The device is valid and bound, and `pci::Device` is a transparent wrapper. The
    // vectors are the action's from here on, even if this fails.
    to_result(unsafe {
        bindings::devm_add_action_or_reset(&raw mut (*raw).dev, Some(free), vectors.cast())
    })?;

    // SAFETY: On PCI, devres runs after the driver's data was dropped: `device_unbind_cleanup()`
    // calls `post_unbind_rust()`, then `devres_release_all()`. Nothing else that has `'bound` in
    // its type lives longer. What is lent has nothing in it that could be changed or dropped
    // meanwhile, so it does not matter that it is dropped while the reference has not ended.
    Ok(unsafe { &*vectors })
}

/// # Safety
///
/// Only devres may call this, once, with what [`alloc`] gave it.
unsafe extern "C" fn free(vectors: *mut c_void) {
    // SAFETY: It comes from `KBox::into_raw()`, and whoever borrowed is gone.
    drop(unsafe { KBox::from_raw(vectors.cast::<Vectors<'_>>()) });
}
