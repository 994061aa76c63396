// SPDX-License-Identifier: GPL-2.0

//! An NVMe driver whose lists of pages come from DMA pools.
//!
//! It is small, but a driver: several queues with an interrupt each, several namespaces, and ends
//! for all requests whatever the device does. `Documentation/rust-nvme.rst` draws the life of a
//! request and says what another driver would copy. From the bottom up:
//!
//! | file | has |
//! | --- | --- |
//! | `bridge.rs` and `bridge/` | what the kernel crate lacks, and most of what is unsafe |
//! | `command.rs` | the formats of commands and completions |
//! | `registers.rs`, `ring.rs` | registers and doorbells; the rings of a queue pair |
//! | `slot.rs` | who may touch what belongs to a command |
//! | `lists.rs` | PRP lists, from the pools |
//! | `hardware.rs` | whether a controller is on, and touches memory |
//! | `queue.rs`, `admin.rs` | I/O queue pairs, and the one for admin commands |
//! | `controller.rs` | a controller and its life |
//! | `namespace.rs` | a namespace as a disk: from a request to a command |

mod admin;
mod bridge;
mod command;
mod controller;
mod hardware;
mod lists;
mod namespace;
mod queue;
mod registers;
mod ring;
mod slot;

// In a kernel tree, the pool is part of the crate kernel.
#[cfg(CONFIG_DMAPOOL_RUST)]
use kernel::dma::pool;
#[cfg(not(CONFIG_DMAPOOL_RUST))]
use rust_dmapool as pool;

use crate::{
    bridge::{
        Disk,
        TimeoutTable, //
    },
    command::PAGE,
    controller::{
        Controller,
        Startup, //
    },
    lists::ListPools,
    namespace::Namespace,
    queue::{
        Interrupt,
        Nvme,
        Queue, //
    }, //
};
use kernel::{
    block::mq::TagSet,
    cpu,
    device::Core,
    dma::{
        Device,
        DmaMask, //
    },
    irq,
    pci,
    prelude::*,
    sync::{
        atomic::{
            ordering,
            Atomic, //
        },
        Arc,
        UniqueArc, //
    }, //
};
use pool::lend_vectors;

/// Base class, subclass and interface of an NVMe controller for I/O.
const CLASS: u32 = 0x01_08_02;

static TIMEOUTS: TimeoutTable = TimeoutTable::new();

/// The number of a controller in the names of its disks, the lowest that is not taken.
struct Number(u32);

/// Which numbers are taken, one bit each.
static NUMBERS: Atomic<u64> = Atomic::new(0);

impl Number {
    fn take() -> Result<Self> {
        let mut taken = NUMBERS.load(ordering::Relaxed);

        loop {
            let number = taken.trailing_ones();
            let bit = 1_u64.checked_shl(number).ok_or(ENOSPC)?;

            match NUMBERS.cmpxchg(taken, taken | bit, ordering::Relaxed) {
                Ok(_) => return Ok(Self(number)),
                Err(changed) => taken = changed,
            }
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS.fetch_sub(1_u64.wrapping_shl(self.0), ordering::Relaxed);
    }
}

/// What the driver keeps for a controller, in the order in which it goes.
struct NvmeData<'bound> {
    _disks: KVec<Disk<Nvme<'bound>>>,
    _interrupts: KVec<Pin<KBox<irq::Registration<'bound, Interrupt<'bound>>>>>,
    controller: Arc<Controller<'bound>>,
    _number: Number,
}

impl<'bound> NvmeData<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        pdev.enable_device_mem()?;
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe {
            pdev.dma_set_mask_and_coherent(DmaMask::new::<64>())?;
            pdev.dma_set_max_seg_size(u32::MAX);
            // Pages of memory must be pages for the controller, which has no other way to be told
            // where in a page data begins.
            //
            // CAST: 4095.
            bridge::set_min_align_mask(pdev.as_ref(), PAGE as u32 - 1);
        }

        let bar = Arc::new(pdev.iomap_region_sized(0, c"rust_nvme")?, GFP_KERNEL)?;
        let pools = ListPools::new(pdev)?;
        let mut startup = Startup::new(pdev, bar)?;

        let cpus = cpu::nr_cpu_ids().try_into().unwrap_or(u16::MAX);
        let wanted = startup.set_queue_count(cpus)?;
        let types = pci::IrqTypes::all();
        let vectors = lend_vectors(pdev, 1, wanted.into(), types)?;
        let count = vectors.len().try_into()?;
        let queues = startup.make_queues(count, module_parameters::queue_depth.value())?;
        let mut interrupts = KVec::with_capacity(queues.len(), GFP_KERNEL)?;
        for (index, queue) in queues.iter().enumerate() {
            // SAFETY: The registration is kept in the driver's data, which is dropped.
            let registration = unsafe {
                irq::Registration::new(
                    vectors.index(index)?.into(),
                    irq::Flags::SHARED,
                    c"rust_nvme",
                    Ok(Interrupt(queue.clone())),
                )
            };

            interrupts.push(KBox::pin_init(registration, GFP_KERNEL)?, GFP_KERNEL)?;
        }

        let depth = queues.first().map_or(0, |queue| queue.depth());
        let controller = startup.start(pools, queues)?;
        let number = Number::take()?;
        let disks = Self::new_disks(pdev, &controller, count.into(), depth, &number)?;
        dev_info!(
            pdev,
            "{} namespaces, {count} queues of {depth}, interrupts: {:?}\n",
            disks.len(),
            vectors.irq_type()
        );
        Ok(Self {
            _disks: disks,
            _interrupts: interrupts,
            controller,
            _number: number,
        })
    }

    fn new_disks(
        pdev: &'bound pci::Device<Core<'_>>,
        controller: &Arc<Controller<'bound>>,
        queues: u32,
        depth: u16,
        number: &Number,
    ) -> Result<KVec<Disk<Nvme<'bound>>>> {
        let tags = TagSet::new(queues, Queue::tags_of(depth).into(), 1);
        let mut tags = UniqueArc::pin_init(tags, GFP_KERNEL)?;
        // SAFETY: Nobody else uses this table.
        unsafe { TIMEOUTS.install(&mut tags) };
        let tags: Arc<TagSet<Nvme<'bound>>> = tags.into();

        let mut disks = KVec::new();
        controller.for_each_namespace(|id, block_shift, sectors, limits| {
            let namespace = Namespace {
                controller: controller.clone(),
                id,
                block_shift,
            };
            let disk = Disk::new(
                pdev.as_ref(),
                fmt!("rnvme{}n{id}", number.0),
                sectors,
                limits,
                tags.clone(),
                KBox::new(namespace, GFP_KERNEL)?,
            )?;

            Ok(disks.push(disk, GFP_KERNEL)?)
        })?;
        Ok(disks)
    }
}

struct NvmeDriver;

kernel::pci_device_table!(
    PCI_TABLE,
    <NvmeDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_class(CLASS, 0xff_ff_ff), ())]
);

impl pci::Driver for NvmeDriver {
    type IdInfo = ();
    type Data<'bound> = NvmeData<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        NvmeData::new(pdev)
    }

    fn unbind<'bound>(_pdev: &'bound pci::Device<Core<'_>>, data: Pin<&Self::Data<'bound>>) {
        data.controller.check_presence();
    }
}

kernel::module_pci_driver! {
    type: NvmeDriver,
    name: "rust_nvme",
    authors: ["The rust_dmapool authors"],
    description: "NVMe driver with PRP lists from DMA pools",
    license: "GPL v2",
    params: {
        queue_depth: u16 {
            default: 256,
            description: "Entries in an I/O queue",
        },
    },
}
