// SPDX-License-Identifier: GPL-2.0

//! What no driver should do with a pool, and safe code can: free the memory of a pool without
//! dropping it, and drop or shrink one in an interrupt.

use core::mem::{
    ManuallyDrop,
    MaybeUninit, //
};
use kernel::{
    device::Core,
    dma::{
        Device,
        DmaMask, //
    },
    impl_has_hr_timer, new_spinlock, pci,
    prelude::*,
    sync::SpinLock,
    time::{
        delay::fsleep,
        hrtimer::{
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerRestart,
            RelativeMode,
            ScopedHrTimerPointer, //
        },
        Delta,
        Monotonic, //
    },
};
use rust_dmapool::{
    Geometry,
    Options,
    Pool, //
};

const GEOMETRY: Geometry = Geometry::new::<64, 64, 0>();

/// A timer that shrinks one pool and drops another, in a hard interrupt.
#[pin_data]
struct Interrupt<'a> {
    #[pin]
    timer: HrTimer<Self>,
    pool: &'a Pool<'a>,
    #[pin]
    dropped: SpinLock<Option<Pool<'a>>>,
}

impl<'a> HrTimerCallback for Interrupt<'a> {
    type Pointer<'b> = Pin<&'a Self>;

    fn run(this: Pin<&Self>, _ctx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        pr_info!("shrunk by {} pages\n", this.pool.shrink());
        drop(this.dropped.lock().take());
        HrTimerRestart::NoRestart
    }
}

impl_has_hr_timer! {
    impl{'a} HasHrTimer<Self> for Interrupt<'a> {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}

fn interrupt<'a>(interrupt: &'a Pin<KBox<Interrupt<'a>>>) {
    interrupt
        .as_ref()
        .start_scoped(Delta::from_micros(200), || fsleep(Delta::from_millis(50)));
}

/// A pool with a page.
fn used_pool<'a>(pdev: &'a pci::Device<Core<'_>>, name: &CStr) -> Result<Pool<'a>> {
    let pool = Pool::new(pdev.as_ref(), name, GEOMETRY)?;

    drop(pool.alloc(GFP_KERNEL)?);
    Ok(pool)
}

struct OddDriver;

struct OddData;

impl OddData {
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<28>())? };

        let undropped = used_pool(pdev, c"undropped")?;
        drop(KBox::new(MaybeUninit::new(undropped), GFP_KERNEL)?);

        let pool = Pool::new_managed(pdev, c"shrunk", GEOMETRY)?.lend();
        drop(pool.alloc(GFP_KERNEL)?);
        let dropped = used_pool(pdev, c"dropped")?;
        let timer = KBox::pin_init(
            try_pin_init!(Interrupt {
                timer <- HrTimer::new(),
                pool,
                dropped <- new_spinlock!(Some(dropped)),
            }? Error),
            GFP_KERNEL,
        )?;
        // As long as it borrows from itself, it cannot be dropped.
        let timer = ManuallyDrop::new(timer);
        interrupt(&timer);
        pr_info!("shrunk by {} pages\n", pool.shrink());

        let options = Options::new().min_nr(Options::MOST_RESERVED + 1);
        let large = Pool::<[u8]>::new_with(pdev.as_ref(), c"large", GEOMETRY, options);
        pr_info!("summary large={:?}\n", large.err());
        Ok(Self)
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <OddDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for OddDriver {
    type IdInfo = ();
    type Data<'bound> = OddData;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        OddData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: OddDriver,
    name: "odd_ways",
    authors: ["The rust_dmapool authors"],
    description: "What no driver should do with a DMA pool",
    license: "GPL v2",
}
