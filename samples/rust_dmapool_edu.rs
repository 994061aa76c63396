// SPDX-License-Identifier: GPL-2.0

//! A driver for QEMU's `edu` device that moves data through two DMA pools.
//!
//! To make this driver probe, QEMU must be run with `-device edu`.
//!
//! The device has a buffer of 4 KiB and a DMA engine that copies between it and RAM, one transfer
//! at a time, and raises an interrupt at the end of each. The driver fills blocks with patterns,
//! has the device fetch each of them and bring it back into another block, and verifies that. It
//! allocates and frees in process context and in its interrupt handler.

// In a kernel tree, the pool is part of the crate kernel.
#[cfg(CONFIG_DMAPOOL_RUST)]
use kernel::dma::pool;
#[cfg(not(CONFIG_DMAPOOL_RUST))]
use rust_dmapool as pool;

use kernel::{
    device::{
        Bound,
        Core, //
    },
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
    irq,
    pci,
    prelude::*,
    sync::{
        new_condvar,
        new_spinlock_irq,
        CondVar,
        CondVarTimeoutResult,
        SpinLockIrq, //
    },
    time::msecs_to_jiffies, //
};
use pool::{
    Block,
    Geometry,
    Pool, //
};

/// Offsets of registers in BAR 0, and their bits.
mod regs {
    pub(super) const END: usize = 0xa0;

    pub(super) const IDENT: usize = 0x00;
    pub(super) const IRQ_STATUS: usize = 0x24;
    pub(super) const IRQ_ACK: usize = 0x64;
    pub(super) const DMA_SRC: usize = 0x80;
    pub(super) const DMA_DST: usize = 0x88;
    pub(super) const DMA_COUNT: usize = 0x90;
    pub(super) const DMA_CMD: usize = 0x98;

    pub(super) const IDENT_EDU: u32 = 0xed;
    pub(super) const CMD_START: u32 = 1 << 0;
    pub(super) const CMD_FROM_DEVICE: u32 = 1 << 1;
    pub(super) const CMD_IRQ: u32 = 1 << 2;
}

/// Vendor and device number of edu.
const EDU: (u16, u16) = (0x1234, 0x11e8);

/// Bits of a DMA address that the device has wires for.
const DMA_BITS: u32 = 28;

/// Where the device's buffer lies in its own address space.
const DEVICE_BUFFER: u32 = 0x4_0000;

/// Blocks that are in the works at once.
const BATCH: u64 = 256;

/// Blocks that the driver keeps for as long as it is bound.
const KEPT: u32 = 16;

type Bar0<'bound> = pci::Bar<'bound, { regs::END }>;

/// What a data block holds.
type Data = [u32; 64];

/// What the driver notes down of a transfer.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Descriptor {
    address: u64,
    len: u32,
    seed: u32,
}

/// The contents of a data block that was filled from `seed`.
fn pattern(seed: u32) -> Data {
    let mut value = seed;

    // A linear congruential generator; each block differs from its neighbours in most bits.
    core::array::from_fn(|_| {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        value
    })
}

/// A block on its way to the device and back.
struct Job<'bound> {
    descriptor: Block<'bound, Descriptor>,
    data: Block<'bound, Data>,
}

impl<'bound> Job<'bound> {
    fn new(pools: &Pools<'bound>, seed: u32) -> Result<Self> {
        let descriptor = pools.descriptors.zalloc(GFP_KERNEL)?;
        let data = pools.data.alloc(GFP_KERNEL)?;

        data.copy_write(pattern(seed));
        io_write!(descriptor, .seed, seed);
        let mut job = Self { descriptor, data };
        job.describe();
        Ok(job)
    }

    /// Replaces the data block, and returns the old one.
    fn replace(&mut self, data: Block<'bound, Data>) -> Block<'bound, Data> {
        let old = core::mem::replace(&mut self.data, data);

        self.describe();
        old
    }

    fn describe(&mut self) {
        io_write!(self.descriptor, .address, self.data.dma_address());
        io_write!(self.descriptor, .len, size_of::<Data>() as u32);
    }

    fn is_intact(&self) -> bool {
        self.data.copy_read() == pattern(io_read!(self.descriptor, .seed))
    }
}

/// The pools, which the driver core destroys after all of the driver's blocks are gone.
#[derive(Clone, Copy)]
struct Pools<'bound> {
    descriptors: &'bound Pool<'bound, Descriptor>,
    data: &'bound Pool<'bound, Data>,
}

impl<'bound> Pools<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        Ok(Self {
            descriptors: Pool::new_managed(pdev, c"edu descriptors", Geometry::of())?.lend(),
            data: Pool::new_managed(pdev, c"edu data", Geometry::new::<256, 256, 4096>())?.lend(),
        })
    }
}

/// What the DMA engine is at.
enum Work<'bound> {
    Nothing,
    ToDevice(Job<'bound>),
    FromDevice(Job<'bound>),
    Done(Job<'bound>),
    Failed(Error),
}

/// The state that the interrupt handler works on.
struct State<'bound> {
    work: Work<'bound>,
    irq_allocs: u64,
    irq_frees: u64,
}

/// The DMA engine and its interrupt handler.
#[pin_data]
struct Engine<'a, 'bound> {
    bar: &'a Bar0<'bound>,
    pools: Pools<'bound>,
    #[pin]
    state: SpinLockIrq<State<'bound>>,
    #[pin]
    finished: CondVar,
}

impl<'a, 'bound> Engine<'a, 'bound> {
    fn new(bar: &'a Bar0<'bound>, pools: Pools<'bound>) -> impl PinInit<Self, Error> + 'a {
        try_pin_init!(Self {
            bar,
            pools,
            state <- new_spinlock_irq!(State {
                work: Work::Nothing,
                irq_allocs: 0,
                irq_frees: 0,
            }),
            finished <- new_condvar!(),
        })
    }

    fn start(&self, descriptor: &Block<'_, Descriptor>, from_device: bool) {
        // CAST: The driver has set a mask of `DMA_BITS` at most.
        let ram = io_read!(descriptor, .address) as u32;
        let len = io_read!(descriptor, .len);
        let (src, dst, direction) = if from_device {
            (DEVICE_BUFFER, ram, regs::CMD_FROM_DEVICE)
        } else {
            (ram, DEVICE_BUFFER, 0)
        };

        self.bar.write32(src, regs::DMA_SRC);
        self.bar.write32(dst, regs::DMA_DST);
        self.bar.write32(len, regs::DMA_COUNT);
        // This is `writel()`, so the device sees what was written to the blocks before. There is no
        // need for `dma_mb(Write)`: that orders writes to memory only, and no flag is in there.
        self.bar
            .write32(regs::CMD_START | regs::CMD_IRQ | direction, regs::DMA_CMD);
    }

    /// The next step after a transfer has ended. In the interrupt handler.
    fn step(&self, state: &mut State<'bound>) -> Work<'bound> {
        match core::mem::replace(&mut state.work, Work::Nothing) {
            Work::ToDevice(mut job) => match self.pools.data.zalloc(GFP_ATOMIC) {
                Ok(data) => {
                    state.irq_allocs += 1;
                    // The device has its copy: what it was copied from is not needed any more.
                    drop(job.replace(data));
                    state.irq_frees += 1;
                    self.start(&job.descriptor, true);
                    Work::FromDevice(job)
                }
                Err(err) => Work::Failed(err),
            },
            Work::FromDevice(job) => Work::Done(job),
            work => work,
        }
    }

    /// Sends a job to the device and back.
    fn run(&self, job: Job<'bound>) -> Result<Job<'bound>> {
        let mut state = self.state.lock();

        self.start(&job.descriptor, false);
        state.work = Work::ToDevice(job);
        loop {
            match core::mem::replace(&mut state.work, Work::Nothing) {
                Work::Done(job) => return Ok(job),
                Work::Failed(err) => return Err(err),
                work => state.work = work,
            }
            let timeout = msecs_to_jiffies(5_000);
            let err = match self
                .finished
                .wait_interruptible_timeout(&mut state, timeout)
            {
                CondVarTimeoutResult::Woken { .. } => continue,
                CondVarTimeoutResult::Timeout => ETIMEDOUT,
                CondVarTimeoutResult::Signal { .. } => EINTR,
            };
            if matches!(state.work, Work::ToDevice(_) | Work::FromDevice(_)) {
                // The device may still write to these blocks, so they are never used again.
                core::mem::forget(core::mem::replace(&mut state.work, Work::Nothing));
                return Err(err);
            }
        }
    }
}

impl irq::Handler for Engine<'_, '_> {
    fn handle(&self) -> irq::IrqReturn {
        // This is `readl()`, so what the device has written is read after it, here and by whoever
        // takes the lock later. A driver that finds a flag in memory needs `dma_mb(Read)` instead.
        let status = self.bar.read32(regs::IRQ_STATUS);
        if status == 0 {
            return irq::IrqReturn::None;
        }
        self.bar.write32(status, regs::IRQ_ACK);

        let mut state = self.state.lock();
        state.work = self.step(&mut state);
        if matches!(state.work, Work::Done(_) | Work::Failed(_)) {
            self.finished.notify_all();
        }
        irq::IrqReturn::Handled
    }
}

/// What went through the pools.
struct Totals {
    blocks: u64,
    verified: u64,
    pages: u32,
    dma_min: DmaAddress,
    dma_max: DmaAddress,
}

struct EduDriver;

struct EduDriverData<'bound> {
    pdev: &'bound pci::Device<Bound>,
    kept: KVec<Job<'bound>>,
}

impl<'bound> EduDriverData<'bound> {
    /// Moves `blocks` blocks to the device and back.
    fn run(
        pdev: &'bound pci::Device<Bound>,
        bar: &Bar0<'bound>,
        pools: Pools<'bound>,
        blocks: u64,
    ) -> Result {
        let types = pci::IrqTypes::default()
            .with(pci::IrqType::Msi)
            .with(pci::IrqType::Intx);
        let vectors = pdev.alloc_irq_vectors(1, 1, types)?;
        let vector = vectors.index(0)?;
        dev_info!(pdev, "interrupt: {:?}\n", vector.irq_type());

        // SAFETY: The registration is dropped at the end of this function.
        let engine = unsafe {
            irq::Registration::new(
                vector.into(),
                irq::Flags::SHARED,
                c"rust_dmapool_edu",
                Engine::new(bar, pools),
            )
        };
        let engine = KBox::pin_init(engine, GFP_KERNEL)?;
        let engine = engine.handler();

        let mut totals = Totals {
            blocks: 0,
            verified: 0,
            pages: 0,
            dma_min: DmaAddress::MAX,
            dma_max: 0,
        };
        while totals.blocks < blocks {
            let batch = BATCH.min(blocks - totals.blocks);
            Self::run_batch(engine, pools, batch, &mut totals)?;
        }

        let state = engine.state.lock();
        dev_info!(
            pdev,
            "summary blocks={} bytes={} verified={} irq_allocs={} irq_frees={} pages={} \
             dma_min={:#x} dma_max={:#x} errors={}\n",
            totals.blocks,
            totals.blocks * 2 * size_of::<Data>() as u64,
            totals.verified,
            state.irq_allocs,
            state.irq_frees,
            totals.pages,
            totals.dma_min,
            totals.dma_max,
            totals.blocks - totals.verified,
        );
        Ok(())
    }

    // By itself, so that it does not add to the stack of what is done once.
    #[inline(never)]
    fn run_batch(
        engine: &Engine<'_, 'bound>,
        pools: Pools<'bound>,
        blocks: u64,
        totals: &mut Totals,
    ) -> Result {
        let mut ready = KVec::new();
        let mut done = KVec::new();

        for block in 0..blocks {
            let seed = (totals.blocks + block) as u32;
            ready.push(Job::new(&pools, seed)?, GFP_KERNEL)?;
        }
        while let Some(job) = ready.pop() {
            let job = engine.run(job)?;
            let address = job.data.dma_address();

            totals.dma_min = totals.dma_min.min(address);
            totals.dma_max = totals.dma_max.max(address);
            done.push(job, GFP_KERNEL)?;
        }

        totals.blocks += blocks;
        totals.verified += done.iter().filter(|job| job.is_intact()).count() as u64;
        totals.pages = pools.descriptors.statistics().pages + pools.data.statistics().pages;
        Ok(())
    }

    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        if (pdev.vendor_id().as_raw(), pdev.device_id()) != EDU {
            return Err(ENODEV);
        }

        pdev.enable_device_mem()?;
        pdev.set_master();

        let bits = module_parameters::mask_bits.value();
        if bits > DMA_BITS {
            dev_err!(pdev, "mask_bits={bits}, but the device has {DMA_BITS}\n");
            return Err(EINVAL);
        }
        let mask = DmaMask::try_new(bits)?;
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe { pdev.dma_set_mask_and_coherent(mask) }.inspect_err(|_| {
            dev_err!(pdev, "no DMA with the mask {:#x}\n", mask.value());
        })?;

        let bar = pdev.iomap_region_sized::<{ regs::END }>(0, c"rust_dmapool_edu")?;
        if bar.read32(regs::IDENT) & 0xff != regs::IDENT_EDU {
            return Err(ENODEV);
        }

        let pools = Pools::new(pdev)?;
        let mut kept = KVec::new();
        for seed in 0..KEPT {
            kept.push(Job::new(&pools, !seed)?, GFP_KERNEL)?;
        }
        Self::run(pdev, &bar, pools, module_parameters::blocks.value().into())?;
        Ok(Self { pdev, kept })
    }
}

impl Drop for EduDriverData<'_> {
    fn drop(&mut self) {
        let intact = self.kept.iter().filter(|job| job.is_intact()).count();

        dev_info!(
            self.pdev,
            "detached kept={} intact={intact}\n",
            self.kept.len()
        );
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <EduDriver as pci::Driver>::IdInfo,
    // `pci::Vendor` has no name for edu's vendor: match on its class, and look closer in `probe()`.
    [(pci::DeviceId::from_class(0x00ff00, 0xffff00), ())]
);

impl pci::Driver for EduDriver {
    type IdInfo = ();
    type Data<'bound> = EduDriverData<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        EduDriverData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: EduDriver,
    name: "rust_dmapool_edu",
    authors: ["The rust_dmapool authors"],
    description: "Moves data through DMA pools with QEMU's edu device",
    license: "GPL v2",
    params: {
        blocks: u32 {
            default: 4096,
            description: "How many data blocks to send to the device and back",
        },
        mask_bits: u32 {
            default: 28,
            description: "Bits of a DMA address that the device can drive",
        },
    },
}
