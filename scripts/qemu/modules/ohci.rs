// SPDX-License-Identifier: GPL-2.0

//! A USB host controller, OHCI, with a keyboard behind it.
//!
//! The controller says by DMA addresses which transfer descriptors (TDs) it is done with: it links
//! them into a list, the last one first, and writes that list's head to memory. So each TD that it
//! has is out of the pool by its address, and beside it is what the driver has to know of it.
//!
//! The driver reads the keyboard's descriptors, which must be the same each time, and then logs
//! what the keyboard reports. Until it is unbound, the controller has a TD for the next report.

use core::ops::Range;
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
        io_project,
        io_read,
        io_write,
        poll::read_poll_timeout,
        Io, //
    },
    irq,
    pci,
    prelude::*,
    sync::{
        barrier::{
            dma_mb,
            Write, //
        },
        new_condvar,
        new_spinlock_irq,
        CondVar,
        CondVarTimeoutResult,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta, //
    }, //
};
use rust_dmapool::{
    lend_vectors,
    Block,
    Geometry,
    Options,
    Pool,
    WithState, //
};

/// Offsets of registers in BAR 0, and their bits.
mod regs {
    pub(super) const END: usize = 0x60;

    pub(super) const CONTROL: usize = 0x04;
    pub(super) const COMMAND: usize = 0x08;
    pub(super) const IRQ_STATUS: usize = 0x0c;
    pub(super) const IRQ_ENABLE: usize = 0x10;
    pub(super) const HCCA: usize = 0x18;
    pub(super) const CONTROL_HEAD: usize = 0x20;
    pub(super) const FRAME: usize = 0x34;
    pub(super) const PERIODIC: usize = 0x40;
    pub(super) const HUB: usize = 0x50;
    pub(super) const PORT: usize = 0x54;

    /// Operational, with the list of control endpoints, or with those of periodic ones.
    pub(super) const RUN_CONTROL: u32 = 2 << 6 | 1 << 4;
    pub(super) const RUN_PERIODIC: u32 = 2 << 6 | 1 << 2;
    pub(super) const COMMAND_RESET: u32 = 1 << 0;
    pub(super) const COMMAND_FILLED: u32 = 1 << 1;
    pub(super) const IRQ_DONE: u32 = 1 << 1;
    pub(super) const IRQ_ANY: u32 = 1 << 31;
    /// A frame of 12,000 bits, most of which may be data, and the last tenth is not periodic.
    pub(super) const FRAME_BITS: u32 = 1 << 31 | 0x2778 << 16 | 0x2edf;
    pub(super) const PERIODIC_BITS: u32 = 0x2a2f;
    pub(super) const HUB_POWER: u32 = 1 << 16;
    pub(super) const PORT_CONNECTED: u32 = 1 << 0;
    pub(super) const PORT_RESET: u32 = 1 << 4;
    pub(super) const PORT_LOW_SPEED: u32 = 1 << 9;
    pub(super) const PORT_WAS_RESET: u32 = 1 << 20;

    /// In the configuration space.
    pub(super) const PCI_COMMAND: usize = 0x04;
    pub(super) const PCI_COMMAND_MASTER: u16 = 1 << 2;
}

/// What is done with a TD: the toggle, the direction, and whether the device may send less.
const SETUP: u32 = 2 << 24;
const DATA_IN: u32 = 3 << 24 | 2 << 19 | 1 << 18;
const STATUS_OUT: u32 = 3 << 24 | 1 << 19;
const STATUS_IN: u32 = 3 << 24 | 2 << 19;
const REPORT_IN: u32 = 2 << 19 | 1 << 18;

/// How reports are received.
const REPORT: [Stage; 1] = [(REPORT_IN, 8..16)];

/// How a TD ended.
const OK: u32 = 0;
const STALL: u32 = 4;
const NOT_ACCESSED: u32 = 15;

/// The TDs that the controller has at most.
const STAGES: usize = 3;

/// Of the keyboard, as an ED has them.
const ADDRESS: u32 = 1;
const ENDPOINT_1: u32 = 1 << 7;

const SET_ADDRESS: [u8; 8] = [0x00, 5, ADDRESS as u8, 0, 0, 0, 0, 0];
const SET_CONFIGURATION: [u8; 8] = [0x00, 9, 1, 0, 0, 0, 0, 0];

/// Descriptors, by index and kind. A keyboard has no second configuration.
const DEVICE: [u8; 2] = [0, 1];
const CONFIGURATION: [u8; 2] = [0, 2];
const MISSING: [u8; 2] = [1, 2];

/// What the controller reads and writes in each frame.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Hcca {
    periodic: [u32; 32],
    frame: u32,
    done: u32,
    reserved: [u32; 30],
}

/// An endpoint. Its TDs are those from `head` until before `tail`.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct EndpointDescriptor {
    flags: u32,
    tail: u32,
    head: u32,
    next: u32,
}

/// What to transfer: from `buffer`, which moves on and is 0 in the end, until after `last`.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct TransferDescriptor {
    flags: u32,
    buffer: u32,
    next: u32,
    last: u32,
}

/// Beside a TD are the addresses of its data: the controller may write there what it likes.
type Td = WithState<TransferDescriptor, Range<u32>>;

/// The request of a control transfer, of eight bytes, and then what is received.
type Bytes = [u8; 64];

/// A TD to be made: what is done, and with which bytes of the buffer.
type Stage = (u32, Range<u32>);

/// An address as the controller has them.
fn low(address: DmaAddress) -> u32 {
    // CAST: There is a mask of 32 bits.
    address as u32
}

/// The endpoint that is in use, of which there is one at a time, and what the controller has.
struct State<'bound> {
    hcca: Block<'bound, Hcca>,
    ed: Block<'bound, EndpointDescriptor>,
    buffer: Block<'bound, Bytes>,
    tds: &'bound Pool<'bound, Td>,
    /// The end of the list: the controller knows where it is, but does not look at it.
    tail: Block<'bound, Td>,
    /// The addresses of the TDs before it.
    out: KVec<DmaAddress>,
    /// The bytes that were transferred, or why no more were.
    result: Result<u32>,
    reports: bool,
}

impl<'bound> State<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        let hcca = Pool::new_managed(pdev, c"hcca", Geometry::of_with::<256, 0>())?.lend();
        let eds = Pool::new_managed(pdev, c"eds", Geometry::of_with::<16, 0>())?.lend();
        let buffers = Pool::new_managed(pdev, c"buffers", Geometry::of_with::<64, 0>())?.lend();
        // They are allocated where nobody can wait for memory.
        let options = Options::new().addresses().min_nr(2 * STAGES);
        let geometry = Geometry::of_with::<16, 0>();
        let tds = Pool::new_managed_with(pdev, c"tds", geometry, options)?.lend();
        let mut state = Self {
            hcca: hcca.zalloc(GFP_KERNEL)?,
            ed: eds.zalloc(GFP_KERNEL)?,
            buffer: buffers.zalloc(GFP_KERNEL)?,
            tds,
            tail: tds.zalloc(GFP_KERNEL)?,
            out: KVec::with_capacity(STAGES, GFP_KERNEL)?,
            result: Ok(0),
            reports: false,
        };

        state.take_back();
        io_write!(state.ed, .tail, state.end());
        Ok(state)
    }

    /// What the controller is told of where the list ends.
    fn end(&self) -> u32 {
        low(self.tail.dma_address()).to_le()
    }

    /// Gives the controller a TD for each stage, `STAGES` at most.
    fn submit<const N: usize>(&mut self, stages: [Stage; N]) -> Result {
        let mut tds = [const { None }; N];

        if !self.out.is_empty() {
            return Err(EBUSY);
        }
        self.tds.alloc_bulk(&mut tds, GFP_ATOMIC)?;
        self.result = Ok(0);
        for ((flags, bytes), next) in stages.into_iter().zip(tds.into_iter().flatten()) {
            let mut td = core::mem::replace(&mut self.tail, next);
            let buffer = low(self.buffer.dma_address());
            let data = buffer.wrapping_add(bytes.start)..buffer.wrapping_add(bytes.end);
            let first = if data.is_empty() { 0 } else { data.start };

            io_write!(td, .flags, (NOT_ACCESSED << 28 | flags).to_le());
            io_write!(td, .buffer, first.to_le());
            io_write!(td, .last, data.end.wrapping_sub(1).to_le());
            io_write!(td, .next, self.end());
            *td.state_mut() = data;
            self.out.push(td.into_address()?, GFP_ATOMIC)?;
        }
        // The controller must not see the new end before what is ahead of it.
        dma_mb(Write);
        io_write!(self.ed, .tail, self.end());
        Ok(())
    }

    /// Takes what the controller says is done. It may say anything: what is not out is refused, and
    /// there are not more than `STAGES`.
    fn reap(&mut self) {
        let mut done = [const { None }; STAGES];
        // The lowest bit says that there is another interrupt, too.
        let mut address = u32::from_le(io_read!(self.hcca, .done)) & !1;

        // The one that was done last is the first.
        for place in done.iter_mut().rev() {
            let Ok(td) = self.tds.from_address(address.into()) else {
                break;
            };
            address = u32::from_le(io_read!(td, .next));
            *place = Some(td);
        }
        if address != 0 {
            dev_warn!(self.tds.device(), "no TD is out at {address:#x}\n");
        }
        for td in done.into_iter().flatten() {
            self.complete(td);
        }
    }

    /// Counts what a TD has transferred, which frees it.
    fn complete(&mut self, td: Block<'bound, Td>) {
        let Range { start, end } = *td.state();
        let rest = match u32::from_le(io_read!(td, .buffer)) {
            0 => end,
            rest => rest.min(end),
        };
        let len = rest.saturating_sub(start);

        self.out.retain(|&mut address| address != td.dma_address());
        self.result = match u32::from_le(io_read!(td, .flags)) >> 28 {
            OK => self.result.map(|sum| sum.wrapping_add(len)),
            STALL => Err(EPIPE),
            _ => Err(EIO),
        };
        if self.result.is_err() {
            self.take_back();
        }
    }

    /// Frees the TDs that the controller has, and empties the list. The controller must leave it
    /// alone: because it has halted the endpoint, or was stopped.
    fn take_back(&mut self) {
        for address in self.out.drain_all() {
            drop(self.tds.from_address(address));
        }
        io_write!(self.ed, .head, self.end());
    }
}

/// What the driver has until it is unbound.
type Registered<'bound> = Pin<KBox<irq::Registration<'bound, Controller<'bound>>>>;

#[pin_data(PinnedDrop)]
struct Controller<'bound> {
    pdev: &'bound pci::Device<Bound>,
    bar: pci::Bar<'bound, { regs::END }>,
    #[pin]
    state: SpinLockIrq<State<'bound>>,
    #[pin]
    done: CondVar,
}

impl<'bound> Controller<'bound> {
    fn probe(pdev: &'bound pci::Device<Core<'_>>) -> Result<Registered<'bound>> {
        let bound: &'bound pci::Device<Bound> = pdev;

        pdev.enable_device_mem()?;
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<32>())? };

        let bar = pdev.iomap_region_sized(0, c"rust_dmapool_ohci")?;
        let state = State::new(pdev)?;
        let vectors = lend_vectors(pdev, 1, 1, pci::IrqTypes::all())?;
        // SAFETY: The registration is kept in the driver's data, which is dropped.
        let registration = unsafe {
            irq::Registration::new(
                vectors.index(0)?.into(),
                irq::Flags::SHARED,
                c"rust_dmapool_ohci",
                try_pin_init!(Self {
                    pdev: bound,
                    bar,
                    state <- new_spinlock_irq!(state),
                    done <- new_condvar!(),
                }),
            )
        };
        let registration = KBox::pin_init(registration, GFP_KERNEL)?;
        let controller = registration.handler();

        controller.reset()?;
        // It no longer knows of memory that is not its own any more.
        pdev.set_master();
        controller.start();
        controller.enumerate(module_parameters::reads.value())?;
        Ok(registration)
    }

    /// After this, the controller is still, and has forgotten all addresses.
    fn reset(&self) -> Result {
        self.bar.write32(regs::COMMAND_RESET, regs::COMMAND);
        read_poll_timeout(
            || Ok(self.bar.read32(regs::COMMAND)),
            |command| command & regs::COMMAND_RESET == 0,
            Delta::from_micros(10),
            Delta::from_millis(100),
        )
        .map(|_| ())
    }

    fn start(&self) {
        let state = self.state.lock();

        self.bar.write32(low(state.hcca.dma_address()), regs::HCCA);
        self.bar
            .write32(low(state.ed.dma_address()), regs::CONTROL_HEAD);
        self.bar.write32(regs::FRAME_BITS, regs::FRAME);
        self.bar.write32(regs::PERIODIC_BITS, regs::PERIODIC);
        self.bar.write32(regs::RUN_CONTROL, regs::CONTROL);
        self.bar
            .write32(regs::IRQ_ANY | regs::IRQ_DONE, regs::IRQ_ENABLE);
        self.bar.write32(regs::HUB_POWER, regs::HUB);
    }

    /// Resets the device at the first port. Returns what an ED says of its speed.
    fn reset_port(&self) -> Result<u32> {
        // The port has power then, and a device is there for long enough.
        fsleep(Delta::from_millis(200));
        if self.bar.read32(regs::PORT) & regs::PORT_CONNECTED == 0 {
            return Err(ENODEV);
        }
        self.bar.write32(regs::PORT_RESET, regs::PORT);
        let status = read_poll_timeout(
            || Ok(self.bar.read32(regs::PORT)),
            |status| status & regs::PORT_WAS_RESET != 0,
            Delta::from_millis(1),
            Delta::from_secs(1),
        )?;
        self.bar.write32(regs::PORT_WAS_RESET, regs::PORT);
        fsleep(Delta::from_millis(10));
        Ok((status & regs::PORT_LOW_SPEED) << 4)
    }

    /// Says which endpoint is in use: while it has no TDs.
    fn select(&self, flags: u32) {
        let state = self.state.lock();

        io_write!(state.ed, .flags, flags.to_le());
    }

    /// A control transfer, of `N` bytes from the device. If that takes too long, the controller
    /// keeps the TDs until it is stopped.
    fn control<const N: usize>(&self, request: [u8; 8]) -> Result<[u8; N]> {
        const { assert!(N <= 56) };
        let mut state = self.state.lock();
        // CAST: At most 64.
        let end = N.wrapping_add(8) as u32;
        let mut left = msecs_to_jiffies(5_000);
        let mut data = [0; N];

        io_project!(state.buffer, [try: ..8]).copy_from_slice(&request);
        if N == 0 {
            state.submit([(SETUP, 0..8), (STATUS_IN, 0..0)])?;
        } else {
            state.submit([(SETUP, 0..8), (DATA_IN, 8..end), (STATUS_OUT, 0..0)])?;
        }
        self.bar.write32(regs::COMMAND_FILLED, regs::COMMAND);
        while !state.out.is_empty() {
            left = match self.done.wait_interruptible_timeout(&mut state, left) {
                CondVarTimeoutResult::Woken { jiffies } => jiffies,
                CondVarTimeoutResult::Timeout => return Err(ETIMEDOUT),
                CondVarTimeoutResult::Signal { .. } => return Err(EINTR),
            };
        }
        if state.result? != end {
            return Err(EREMOTEIO);
        }
        io_project!(state.buffer, [try: 8..N.wrapping_add(8)]).copy_to_slice(&mut data);
        Ok(data)
    }

    fn descriptor<const N: usize>(&self, [index, kind]: [u8; 2]) -> Result<[u8; N]> {
        // CAST: At most 56, or it does not compile.
        self.control([0x80, 6, index, kind, 0, 0, N as u8, 0])
    }

    /// Gives the keyboard an address, reads its descriptors so many times, and asks for reports.
    fn enumerate(&self, reads: u32) -> Result {
        let speed = self.reset_port()?;

        self.select(8 << 16 | speed);
        let [.., packet]: [u8; 8] = self.descriptor(DEVICE)?;
        self.control::<0>(SET_ADDRESS)?;
        // The device's time to listen to that.
        fsleep(Delta::from_millis(2));
        self.select(u32::from(packet) << 16 | speed | ADDRESS);

        let device: [u8; 18] = self.descriptor(DEVICE)?;
        let configuration: [u8; 34] = self.descriptor(CONFIGURATION)?;
        dev_info!(self.pdev, "device {device:02x?}\n");
        dev_info!(self.pdev, "configuration {configuration:02x?}\n");
        for _ in 0..reads {
            if self.descriptor(DEVICE)? != device
                || self.descriptor(CONFIGURATION)? != configuration
            {
                return Err(EIO);
            }
            // The endpoint is halted then, and works again.
            let refused = self.descriptor::<8>(MISSING).err();
            if refused != Some(EPIPE) {
                return Err(refused.unwrap_or(EIO));
            }
        }
        self.control::<0>(SET_CONFIGURATION)?;

        self.bar.write32(regs::RUN_PERIODIC, regs::CONTROL);
        // With the next frame, the controller does not look at the ED any more.
        fsleep(Delta::from_millis(2));
        self.select(8 << 16 | speed | ENDPOINT_1 | ADDRESS);
        let mut state = self.state.lock();
        let ed = low(state.ed.dma_address()).to_le();
        state.submit(REPORT)?;
        state.reports = true;
        io_project!(state.hcca, .periodic).copy_write([ed; 32]);
        Ok(())
    }

    /// Logs a report, and has the controller wait for the next one.
    fn report(&self, state: &mut State<'bound>) -> Result {
        let mut report = [0; 8];

        if state.result? != 8 {
            return Err(EREMOTEIO);
        }
        io_project!(state.buffer, [try: 8..16]).copy_to_slice(&mut report);
        dev_info!(self.pdev, "report {report:02x?}\n");
        state.submit(REPORT)
    }
}

impl irq::Handler for Controller<'_> {
    fn handle(&self) -> irq::IrqReturn {
        // This is `readl()`: what the controller has written before is read after it.
        let status = self.bar.read32(regs::IRQ_STATUS);
        // All bits are set if nobody is there to answer.
        if status == u32::MAX || status & regs::IRQ_DONE == 0 {
            return irq::IrqReturn::None;
        }

        let mut state = self.state.lock();
        state.reap();
        // From here on the controller may write another list.
        self.bar.write32(regs::IRQ_DONE, regs::IRQ_STATUS);
        if state.reports && state.out.is_empty() {
            if let Err(err) = self.report(&mut state) {
                dev_err!(self.pdev, "no more reports: {err:?}\n");
            }
        }
        self.done.notify_all();
        irq::IrqReturn::Handled
    }
}

#[pinned_drop]
impl PinnedDrop for Controller<'_> {
    fn drop(self: Pin<&mut Self>) {
        let config = self.pdev.config_space();
        let command = config.read16(regs::PCI_COMMAND);

        self.bar.write32(regs::COMMAND_RESET, regs::COMMAND);
        // Should it not obey, it is still kept from memory. What it wrote before is there once
        // this is read.
        config.write16(command & !regs::PCI_COMMAND_MASTER, regs::PCI_COMMAND);
        config.read16(regs::PCI_COMMAND);
        self.state.lock().take_back();
    }
}

struct OhciDriver;

kernel::pci_device_table!(
    PCI_TABLE,
    <OhciDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_class(0x0c0310, 0xffffff), ())]
);

impl pci::Driver for OhciDriver {
    type IdInfo = ();
    type Data<'bound> = Registered<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Controller::probe(pdev)
    }
}

kernel::module_pci_driver! {
    type: OhciDriver,
    name: "ohci",
    authors: ["The rust_dmapool authors"],
    description: "A host controller that names by addresses what it is done with",
    license: "GPL v2",
    params: {
        reads: u32 {
            default: 500,
            description: "How many times to read the keyboard's descriptors",
        },
    },
}
