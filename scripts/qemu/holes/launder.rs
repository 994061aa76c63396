// SPDX-License-Identifier: GPL-2.0

//! A reference to a bound device that does not end when the device is unbound.

use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    devres::Devres,
    driver,
    pci,
    prelude::*,
    sync::SetOnce,
    InPlaceModule, //
};

struct Kept {
    pdev: &'static pci::Device<Bound>,
    number: Devres<KBox<u32>>,
}

static KEPT: SetOnce<Kept> = SetOnce::new();

fn look(when: &str) -> Result {
    let kept = KEPT.as_ref().ok_or(ENODEV)?;
    let number = kept.number.access(kept.pdev.as_ref())?;

    dev_info!(kept.pdev, "{when} unbinding: {:#x}\n", **number);
    Ok(())
}

struct LaunderDriver;

impl LaunderDriver {
    fn new(dev: &Device<Bound>) -> Result<Self> {
        KEPT.populate(Kept {
            pdev: dev.try_into()?,
            number: Devres::new(dev, KBox::new(0x600d, GFP_KERNEL)?)?,
        });
        look("before")?;
        Ok(Self)
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <LaunderDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for LaunderDriver {
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

/// Dropped after the driver is unregistered.
struct After;

impl Drop for After {
    fn drop(&mut self) {
        let _ = look("after");
    }
}

#[pin_data]
struct LaunderModule {
    #[pin]
    driver: driver::Registration<pci::Adapter<LaunderDriver>>,
    after: After,
}

impl InPlaceModule for LaunderModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- driver::Registration::new(c"launder", module),
            after: After,
        })
    }
}

module! {
    type: LaunderModule,
    name: "launder",
    authors: ["The rust_dmapool authors"],
    description: "A reference to a bound device that outlives its binding",
    license: "GPL v2",
}
