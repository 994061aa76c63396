// SPDX-License-Identifier: GPL-2.0

//! What can be asked of a device.

use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    pci, //
};

// `bridge.c`. Some configurations leave nothing in structures that are only pointed to here.
#[allow(improper_ctypes)]
extern "C" {
    fn rust_nvme_need_unmap(dev: *mut bindings::device) -> bool;
    fn rust_nvme_set_min_align_mask(dev: *mut bindings::device, mask: u32);
}

/// The C view of a device.
#[inline]
pub(super) fn as_raw(dev: &Device<Bound>) -> *mut bindings::device {
    // `Device` is a transparent wrapper.
    core::ptr::from_ref(dev).cast_mut().cast()
}

fn pci_as_raw(pdev: &pci::Device<Bound>) -> *mut bindings::pci_dev {
    // `pci::Device` is a transparent wrapper.
    core::ptr::from_ref(pdev).cast_mut().cast()
}

/// Has the bits of `mask` in the address of what is mapped be those of the memory itself, also if
/// that is copied to a bounce buffer. [`max_mapping_size()`] depends on this.
///
/// # Safety
///
/// Nothing is mapped for the device meanwhile.
pub(crate) unsafe fn set_min_align_mask(dev: &Device<Bound>, mask: u32) {
    // SAFETY: The device is valid; the caller sees to it that nobody reads the mask meanwhile.
    unsafe { rust_nvme_set_min_align_mask(as_raw(dev), mask) };
}

/// Bytes that one mapping can have.
pub(crate) fn max_mapping_size(dev: &Device<Bound>) -> usize {
    // SAFETY: The device is valid.
    unsafe { bindings::dma_max_mapping_size(as_raw(dev)) }
}

/// Whether what is mapped for the device must be unmapped, as far as is known at the moment.
#[inline]
pub(super) fn needs_unmap(dev: &Device<Bound>) -> bool {
    // SAFETY: The device is valid.
    unsafe { rust_nvme_need_unmap(as_raw(dev)) }
}

/// Whether a device is still where it was: it answers if its configuration space is read.
///
/// Process context.
pub(crate) fn is_present(pdev: &pci::Device<Bound>) -> bool {
    // SAFETY: The device is valid.
    unsafe { bindings::pci_device_is_present(pci_as_raw(pdev)) }
}

/// Keeps a device that does not listen any more from memory.
///
/// First it loses the right to begin a transfer. What it has begun by then, a reset of its function
/// ends; a device that cannot be reset so is waited for as long as the bus says that it
/// expects an answer. All of this is in the device's own hands: one that is distrusted that far
/// belongs behind an IOMMU.
///
/// Process context; may sleep.
pub(crate) fn stop_dma(pdev: &pci::Device<Bound>) {
    const DO_RESET: bool = false;
    let raw = pci_as_raw(pdev);

    // SAFETY: The device is valid.
    unsafe { bindings::pci_clear_master(raw) };
    if !is_present(pdev) {
        return;
    }
    // SAFETY: The device is valid. The reset forgets where the registers are, and the interrupts;
    // what is restored after it is what was saved before, without that right. A driver has no
    // other calls of these, as the kernel crate has no callbacks to suspend, reset or recover.
    unsafe {
        bindings::pci_save_state(raw);
        if bindings::pcie_reset_flr(raw, DO_RESET) != 0 {
            bindings::pci_wait_for_pending_transaction(raw);
        }
        bindings::pci_restore_state(raw);
    }
}
