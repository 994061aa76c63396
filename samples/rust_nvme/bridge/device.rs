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

/// Takes the right to read and write memory from a device that does not listen any more.
pub(crate) fn stop_dma(pdev: &pci::Device<Bound>) {
    // SAFETY: The device is valid.
    unsafe { bindings::pci_clear_master(pci_as_raw(pdev)) };
}
