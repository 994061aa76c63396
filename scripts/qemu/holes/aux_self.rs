// SPDX-License-Identifier: GPL-2.0

//! Registration data of an auxiliary device that borrows from itself, and is dropped nevertheless.

use kernel::{
    auxiliary,
    device::{
        Bound,
        Core,
        Device, //
    },
    driver,
    new_mutex,
    pci,
    prelude::*,
    sync::Mutex,
    types::ForLt,
    InPlaceModule, //
};

/// Looks at a number when it is dropped.
struct Look<'a>(&'a u32);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        pr_info!("drop: {:#x}\n", self.0);
    }
}

/// The fields are dropped in this order.
#[pin_data]
struct Data<'a> {
    number: KBox<u32>,
    #[pin]
    look: Mutex<Option<Look<'a>>>,
}

impl Data<'_> {
    fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            number: KBox::new(0x600d, GFP_KERNEL)?,
            look <- new_mutex!(None),
        })
    }
}

type Numbers = ForLt!(Data<'_>);

struct ParentDriver;

struct ParentData<'bound> {
    _child: auxiliary::Registration<'bound, Numbers>,
}

impl<'bound> ParentData<'bound> {
    fn new(dev: &'bound Device<Bound>) -> Result<Self> {
        let module = <LocalModule as kernel::ModuleMetadata>::NAME;

        Ok(Self {
            // SAFETY: It is dropped with the driver's data, and so not forgotten.
            _child: unsafe {
                auxiliary::Registration::new_with_lt(dev, c"child", 0, module, Data::new())?
            },
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
        ParentData::new(pdev.as_ref())
    }
}

struct ChildDriver;

kernel::auxiliary_device_table!(
    AUX_TABLE,
    <ChildDriver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(c"aux_self", c"child"), ())]
);

impl auxiliary::Driver for ChildDriver {
    type IdInfo = ();
    type Data<'bound> = Self;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &AUX_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        adev.registration_data_with::<Numbers, _>(|data| {
            let data = data.get_ref();

            *data.look.lock() = Some(Look(&data.number));
            Self
        })
    }
}

#[pin_data]
struct SelfModule {
    #[pin]
    child: driver::Registration<auxiliary::Adapter<ChildDriver>>,
    #[pin]
    parent: driver::Registration<pci::Adapter<ParentDriver>>,
}

impl InPlaceModule for SelfModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let name = <LocalModule as kernel::ModuleMetadata>::NAME;

        try_pin_init!(Self {
            child <- driver::Registration::new(name, module),
            parent <- driver::Registration::new(name, module),
        })
    }
}

module! {
    type: SelfModule,
    name: "aux_self",
    authors: ["The rust_dmapool authors"],
    description: "Registration data that borrows from itself",
    license: "GPL v2",
}
