// SPDX-License-Identifier: GPL-2.0

//! A PCI driver for QEMU's `pci-testdev` that leaves its DMA to the driver of an auxiliary device.

use kernel::{
    auxiliary,
    device::Core,
    dma::{
        Device,
        DmaMask, //
    },
    pci,
    prelude::*,
    types::ForLt, //
};

struct ParentDriver;

struct ParentData<'bound> {
    _child: auxiliary::Registration<'bound, ForLt!(())>,
}

impl<'bound> ParentData<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<64>())? };

        let module = <LocalModule as kernel::ModuleMetadata>::NAME;
        Ok(Self {
            _child: auxiliary::Registration::new(pdev.as_ref(), c"child", 0, module, ())?,
        })
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <ParentDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for ParentDriver {
    type IdInfo = ();
    type Data<'bound> = ParentData<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        ParentData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: ParentDriver,
    name: "aux_parent",
    authors: ["The rust_dmapool authors"],
    description: "The parent of an auxiliary device",
    license: "GPL v2",
}
