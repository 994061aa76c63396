// SPDX-License-Identifier: GPL-2.0

//! A device that completes its commands more often than once.
//!
//! QEMU's `edu` has a DMA engine and some memory of its own. A command's token is copied to that
//! memory, and a completion is the device copying it back, as often as this driver says in the
//! place of a device that is broken.

use kernel::{
    device::Core,
    dma::{
        Device,
        DmaAddress,
        DmaMask, //
    },
    io::{
        io_read,
        io_write,
        Io, //
    },
    pci,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use rust_dmapool::{
    Block,
    Geometry,
    Options,
    Pool,
    RawBlock, //
};

mod edu;

/// Vendor and device number of edu.
const EDU: (u16, u16) = (0x1234, 0x11e8);

/// Commands, one after the other.
const COMMANDS: u64 = 16;

type Words = [u64; 8];

/// A command that the device knows, by its place in the device's memory.
#[derive(Clone, Copy)]
struct Slot(u32);

struct Commands<'bound> {
    bar: edu::Bar<'bound>,
    pool: &'bound Pool<'bound, Words>,
    /// What the device reads and writes.
    mailbox: Block<'bound, Words>,
    accepted: u64,
    refused: u64,
}

impl<'bound> Commands<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        let options = Options::new().tokens();
        let pool = Pool::new_managed_with(pdev, c"twice", Geometry::<Words>::of(), options)?.lend();

        Ok(Self {
            bar: pdev.iomap_region_sized::<{ edu::END }>(0, c"completes_twice")?,
            pool,
            mailbox: pool.zalloc(GFP_KERNEL)?,
            accepted: 0,
            refused: 0,
        })
    }

    fn transfer(&self, slot: Slot, from_device: bool) -> Result {
        let device = edu::BUFFER + slot.0;
        let count = size_of::<u64>() as u32;

        edu::start(&self.bar, device, self.mailbox(), count, from_device);
        for _ in 0..100 {
            if !edu::is_busy(&self.bar) {
                return Ok(());
            }
            fsleep(Delta::from_millis(20));
        }
        Err(ETIMEDOUT)
    }

    fn mailbox(&self) -> u32 {
        // CAST: The driver has set a mask of fewer bits.
        self.mailbox.dma_address() as u32
    }

    /// Gives a block to the device.
    fn submit(&self, block: Block<'bound, Words>, slot: Slot) -> Result {
        io_write!(self.mailbox, [build: 0], block.into_raw()?.into_bits());
        self.transfer(slot, false)
    }

    /// What the device says of a command; and the block that it is for, if it is for one.
    fn complete(&mut self, slot: Slot) -> Result<Option<Block<'bound, Words>>> {
        io_write!(self.mailbox, [build: 0], 0);
        self.transfer(slot, true)?;

        let token = RawBlock::from_bits(io_read!(self.mailbox, [build: 0]));
        match self.pool.from_raw(token) {
            Ok(block) => {
                self.accepted += 1;
                Ok(Some(block))
            }
            Err(_) => {
                self.refused += 1;
                Ok(None)
            }
        }
    }

    /// Runs one command, and returns whether all went well.
    fn run(&mut self, number: u64) -> Result<bool> {
        let slot = Slot(number as u32 * 8);
        let block = self.pool.alloc(GFP_KERNEL)?;
        let address: DmaAddress = block.dma_address();

        block.copy_write([number; 8]);
        self.submit(block, slot)?;
        let first = self.complete(slot)?;
        // Twice, while the block is somebody's.
        let second = self.complete(slot)?;
        let good = first.is_some_and(|block| {
            block.dma_address() == address && block.copy_read() == [number; 8]
        });
        // Once more, when it is free.
        let third = self.complete(slot)?;
        // And once more, when it is out for the next command.
        let next = self.pool.alloc(GFP_KERNEL)?;
        let same = next.dma_address() == address;
        let last = Slot(COMMANDS as u32 * 8);
        self.submit(next, last)?;
        let fourth = self.complete(slot)?;
        let good = good && same && self.complete(last)?.is_some();

        Ok(good && second.is_none() && third.is_none() && fourth.is_none())
    }
}

struct TwiceDriver;

struct TwiceData;

impl TwiceData {
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        if (pdev.vendor_id().as_raw(), pdev.device_id()) != EDU {
            return Err(ENODEV);
        }
        pdev.enable_device_mem()?;
        pdev.set_master();
        // SAFETY: Nobody allocates DMA memory for this device yet.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<28>())? };

        let mut commands = Commands::new(pdev)?;
        let mut good = 0;
        for number in 0..COMMANDS {
            good += u64::from(commands.run(number)?);
        }
        dev_info!(
            pdev,
            "summary commands={COMMANDS} good={good} accepted={} refused={}\n",
            commands.accepted,
            commands.refused
        );
        Ok(Self)
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <TwiceDriver as pci::Driver>::IdInfo,
    // `pci::Vendor` has no name for edu's vendor: match on its class, and look closer in `probe()`.
    [(pci::DeviceId::from_class(0x00ff00, 0xffff00), ())]
);

impl pci::Driver for TwiceDriver {
    type IdInfo = ();
    type Data<'bound> = TwiceData;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        TwiceData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: TwiceDriver,
    name: "completes_twice",
    authors: ["The rust_dmapool authors"],
    description: "A device that completes its commands more often than once",
    license: "GPL v2",
}
