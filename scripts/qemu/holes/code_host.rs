// SPDX-License-Identifier: GPL-2.0

//! A driver that calls what the driver of its auxiliary device has left with it, with the device
//! that it probes next.

use kernel::{
    auxiliary,
    device::Core,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
    types::CovariantForLt, //
};

type Hook = for<'a, 'b> fn(&'a pci::Device<Core<'b>>) -> Result;
type Slot = Arc<Mutex<Option<Hook>>>;

static SLOT: SetOnce<Slot> = SetOnce::new();

struct Host<'bound> {
    _child: Option<auxiliary::Registration<'bound, CovariantForLt!(Slot)>>,
}

impl<'bound> Host<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        if let Some(slot) = SLOT.as_ref() {
            let hook = *slot.lock();

            hook.map_or(Ok(()), |hook| hook(pdev))?;
            return Ok(Self { _child: None });
        }
        let slot = Arc::pin_init(new_mutex!(None), GFP_KERNEL)?;
        let module = <LocalModule as kernel::ModuleMetadata>::NAME;

        SLOT.populate(slot.clone());
        let child = auxiliary::Registration::new(pdev.as_ref(), c"child", 0, module, slot)?;
        Ok(Self {
            _child: Some(child),
        })
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <HostDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

struct HostDriver;

impl pci::Driver for HostDriver {
    type IdInfo = ();
    type Data<'bound> = Host<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Host::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: HostDriver,
    name: "code_host",
    authors: ["The rust_dmapool authors"],
    description: "Calls what another driver has left",
    license: "GPL v2",
}
