// SPDX-License-Identifier: GPL-2.0

//! An auxiliary device whose registration is forgotten stays bound when its parent is not any more.

use kernel::{
    auxiliary,
    device::{
        Bound,
        Core,
        Device, //
    },
    devres::Devres,
    driver,
    pci,
    prelude::*,
    types::CovariantForLt,
    InPlaceModule, //
};

/// What the parent registers the child with.
type Number = CovariantForLt!(Devres<KBox<u32>>);

struct ParentDriver;

impl ParentDriver {
    fn new(dev: &Device<Bound>) -> Result<Self> {
        let module = <LocalModule as kernel::ModuleMetadata>::NAME;
        let number = Devres::new(dev, KBox::new(0x600d, GFP_KERNEL)?)?;
        let child = auxiliary::Registration::<Number>::new(dev, c"child", 0, module, number)?;

        core::mem::forget(child);
        Ok(Self)
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <ParentDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for ParentDriver {
    type IdInfo = ();
    type Data<'bound> = Self;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Self::new(pdev.as_ref())
    }
}

struct ChildDriver;

impl ChildDriver {
    fn look(adev: &auxiliary::Device<Core<'_>>, when: &str) -> Result {
        let number = adev.registration_data::<Number>()?;
        let number = number.get_ref().access(adev.parent())?;

        dev_info!(adev.as_ref(), "{when}: {:#x}\n", **number);
        Ok(())
    }
}

kernel::auxiliary_device_table!(
    AUX_TABLE,
    <ChildDriver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"aux_forget", c"child"), ())]
);

impl auxiliary::Driver for ChildDriver {
    type IdInfo = ();
    type Data<'bound> = Self;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &AUX_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Self::look(adev, "probe").map(|()| Self)
    }

    fn unbind<'bound>(adev: &'bound auxiliary::Device<Core<'_>>, _this: Pin<&Self>) {
        let _ = Self::look(adev, "unbind");
    }
}

/// The parent's driver goes first.
#[pin_data]
struct ForgetModule {
    #[pin]
    parent: driver::Registration<pci::Adapter<ParentDriver>>,
    #[pin]
    child: driver::Registration<auxiliary::Adapter<ChildDriver>>,
}

impl InPlaceModule for ForgetModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let name = <LocalModule as kernel::ModuleMetadata>::NAME;

        try_pin_init!(Self {
            parent <- driver::Registration::new(name, module),
            child <- driver::Registration::new(name, module),
        })
    }
}

module! {
    type: ForgetModule,
    name: "aux_forget",
    authors: ["The rust_dmapool authors"],
    description: "An auxiliary device that outlives the binding of its parent",
    license: "GPL v2",
}
