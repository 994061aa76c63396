// SPDX-License-Identifier: GPL-2.0

//! Coherent memory that is freed when its device is gone.

use kernel::{
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::Coherent,
    driver,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Mutex,
        SetOnce, //
    },
    InPlaceModule, //
};

type Kept = Mutex<Option<Coherent<u64>>>;

static KEPT: SetOnce<Pin<KBox<Kept>>> = SetOnce::new();

struct RemovedDriver;

impl RemovedDriver {
    fn new(dev: &Device<Bound>) -> Result<Self> {
        let memory = Coherent::zeroed(dev, GFP_KERNEL)?;

        dev_info!(dev, "memory at {:#x}\n", memory.dma_address());
        KEPT.populate(KBox::pin_init(new_mutex!(Some(memory)), GFP_KERNEL)?);
        Ok(Self)
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <RemovedDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for RemovedDriver {
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
        if let Some(kept) = KEPT.as_ref() {
            pr_info!("freeing the memory of a device that is gone\n");
            drop(kept.lock().take());
        }
    }
}

#[pin_data]
struct RemovedModule {
    #[pin]
    driver: driver::Registration<pci::Adapter<RemovedDriver>>,
    after: After,
}

impl InPlaceModule for RemovedModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            driver <- driver::Registration::new(c"dma_removed", module),
            after: After,
        })
    }
}

module! {
    type: RemovedModule,
    name: "dma_removed",
    authors: ["The rust_dmapool authors"],
    description: "Coherent memory that outlives its device",
    license: "GPL v2",
}
