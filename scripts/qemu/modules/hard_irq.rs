// SPDX-License-Identifier: GPL-2.0

//! A pool that is used up in a hard interrupt, which is one on `PREEMPT_RT` as well: an interrupt
//! between processors.
//!
//! Probe this on another CPU than 0. The free blocks are then those of that CPU's page, which CPU 0
//! has to take from there, and the pool's reserve.

use kernel::{
    bindings,
    device::Core,
    dma::{
        Device,
        DmaMask, //
    },
    error::to_result,
    pci,
    prelude::*, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Options,
    Pool, //
};

/// Blocks in the reserve.
const RESERVED: usize = 8;

/// More blocks than there are without growing.
const WANTED: usize = 1000;

/// What the interrupt works on.
struct Work<'a> {
    pool: &'a Pool<'a>,
    blocks: KVec<Block<'a>>,
}

impl Work<'_> {
    /// Allocates blocks until there is no more, or there are enough.
    fn drain(&mut self) {
        while self.blocks.len() < WANTED {
            let Ok(block) = self.pool.zalloc(GFP_ATOMIC) else {
                return;
            };
            // There is capacity for all.
            if self.blocks.push_within_capacity(block).is_err() {
                return;
            }
        }
    }

    /// Frees the odd ones.
    fn free_half(&mut self) {
        let mut number = 0usize;

        self.blocks.retain(|_| {
            number = number.wrapping_add(1);
            number % 2 == 0
        });
    }
}

/// # Safety
///
/// `work` must be a [`Work`] that nobody else uses.
unsafe extern "C" fn drain(work: *mut c_void) {
    // SAFETY: The caller vouches for it.
    unsafe { (*work.cast::<Work<'_>>()).drain() };
}

/// # Safety
///
/// As [`drain`].
unsafe extern "C" fn free_half(work: *mut c_void) {
    // SAFETY: The caller vouches for it.
    unsafe { (*work.cast::<Work<'_>>()).free_half() };
}

/// Runs `f` in an interrupt of CPU 0, and waits for that.
fn on_cpu_0(f: unsafe extern "C" fn(*mut c_void), work: &mut Work<'_>) -> Result {
    let work: *mut Work<'_> = work;

    // SAFETY: The function returns when `f` has, and nobody else uses `work` until then.
    to_result(unsafe { bindings::smp_call_function_single(0, Some(f), work.cast(), true) })
}

struct HardIrqDriver;

struct HardIrqData;

impl HardIrqData {
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<32>())? };

        let options = Options::new().min_nr(RESERVED);
        let geometry = Geometry::new::<32, 32, 0>();
        let pool = Pool::new_managed_with(pdev, c"hard", geometry, options)?;
        // A page of this CPU's.
        drop(pool.alloc(GFP_KERNEL)?);
        let mut work = Work {
            pool: &pool,
            blocks: KVec::with_capacity(WANTED, GFP_KERNEL)?,
        };
        let before = pool.statistics();

        on_cpu_0(drain, &mut work)?;
        let allocated = work.blocks.len();
        on_cpu_0(free_half, &mut work)?;
        let left = pool.statistics();
        pr_info!(
            "summary capacity={} allocated={allocated} failures={} left={} reserved={}\n",
            before.capacity,
            left.failures,
            left.live,
            left.reserved
        );
        Ok(Self)
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <HardIrqDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::REDHAT, 0x5), ())]
);

impl pci::Driver for HardIrqDriver {
    type IdInfo = ();
    type Data<'bound> = HardIrqData;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        HardIrqData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: HardIrqDriver,
    name: "hard_irq",
    authors: ["The rust_dmapool authors"],
    description: "Allocates and frees in a hard interrupt",
    license: "GPL v2",
}
