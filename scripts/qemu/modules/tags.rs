// SPDX-License-Identifier: GPL-2.0

//! A disk behind an AHCI controller: a table of commands by tag, each with its memory for DMA from
//! the beginning to the end.
//!
//! To make this driver probe, QEMU must be run with `-device ahci,id=ahci` and `-device
//! ide-hd,bus=ahci.0`. It serves the first port, and takes it that the disk queues commands. The
//! disk is `rust_dmapool_tags/disk` in debugfs, of which up to 16 KiB are read or written at once.
//!
//! A thread that has taken a [`Tag`] out of the table may use its memory. While it is in there, the
//! device may, or it is free. Threads that are killed leave theirs in there, so that memory with
//! the device never depends on who waits for it.
//!
//! If a command fails or takes too long, the port is reset, which ends all commands. The device
//! has not said which of them it was about, so each is tried again alone: all that this takes is to
//! tell the device of the tag once more.

use core::mem;
use kernel::{
    debugfs,
    device::{
        Bound,
        Core, //
    },
    dma::{
        Device,
        DmaMask, //
    },
    fmt,
    fs::file,
    io::{
        io_project,
        io_write,
        poll::read_poll_timeout,
        Io, //
    },
    irq,
    new_condvar,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        CondVar,
        CondVarTimeoutResult,
        Mutex,
        MutexGuard, //
    },
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta,
        Instant,
        Monotonic, //
    },
    uaccess::{
        UserSliceReader,
        UserSliceWriter, //
    }, //
};
use rust_dmapool::{
    lend_vectors,
    Block,
    Geometry,
    Pool,
    WithState, //
};

/// Offsets of registers of the controller and of its first port, and their bits.
mod regs {
    pub(super) const END: usize = 0x180;

    pub(super) const CAP: usize = 0x00;
    pub(super) const GHC: usize = 0x04;
    pub(super) const IS: usize = 0x08;
    pub(super) const PORT_CLB: usize = 0x100;
    pub(super) const PORT_CLBU: usize = 0x104;
    pub(super) const PORT_FB: usize = 0x108;
    pub(super) const PORT_FBU: usize = 0x10c;
    pub(super) const PORT_IS: usize = 0x110;
    pub(super) const PORT_IE: usize = 0x114;
    pub(super) const PORT_CMD: usize = 0x118;
    pub(super) const PORT_TFD: usize = 0x120;
    pub(super) const PORT_SSTS: usize = 0x128;
    pub(super) const PORT_SCTL: usize = 0x12c;
    pub(super) const PORT_SERR: usize = 0x130;
    pub(super) const PORT_SACT: usize = 0x134;
    pub(super) const PORT_CI: usize = 0x138;

    pub(super) const CAP_64_BITS: u32 = 1 << 31;
    pub(super) const CAP_QUEUES: u32 = 1 << 30;
    pub(super) const GHC_AHCI: u32 = 1 << 31;
    pub(super) const GHC_IRQ: u32 = 1 << 1;
    pub(super) const GHC_RESET: u32 = 1 << 0;
    pub(super) const IRQ_DEVICE_BITS: u32 = 1 << 3;
    /// Errors of the task file, the host bus, twice, and the interface.
    pub(super) const IRQ_ERRORS: u32 = 0xf << 27;
    pub(super) const CMD_RUNS: u32 = 1 << 15;
    pub(super) const CMD_RECEIVE: u32 = 1 << 4;
    pub(super) const CMD_START: u32 = 1 << 0;
    pub(super) const TFD_BUSY: u32 = 0x88;
    pub(super) const DETECTION: u32 = 0xf;
    pub(super) const DETECTION_RESET: u32 = 1;
    pub(super) const DETECTION_DONE: u32 = 3;
}

/// What a controller has at most.
const TAGS: usize = 32;

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// Pages of data that a command can have.
const PAGES: usize = 4;

/// How long the device may take for a command.
const TIMEOUT_MS: u32 = 10_000;

type Bar<'bound> = pci::Bar<'bound, { regs::END }>;

/// Where the device finds a command.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Header {
    flags: u32,
    done: u32,
    table: u64,
    reserved: [u32; 4],
}

/// How long a [`Fis`] is, in words.
const HEADER_FIS: u32 = 5;
const HEADER_WRITE: u32 = 1 << 6;
const HEADER_PIECES: u32 = 16;

/// What the port has for all tags.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Common {
    headers: [Header; TAGS],
    received: [u8; 256],
}

/// Where a piece of the data is.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Piece {
    address: u64,
    reserved: u32,
    last_byte: u32,
}

/// What the controller tells the disk.
type Fis = [u8; 20];

const FIS_READ: u8 = 0x60;
const FIS_WRITE: u8 = 0x61;

/// What a tag is for at the moment.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Table {
    fis: Fis,
    reserved: [u8; 108],
    pieces: [Piece; PAGES],
}

/// That, and when the device was told of it.
type Command = WithState<Table, Option<Instant<Monotonic>>>;

/// The right to use a tag, and its memory.
struct Tag<'bound> {
    number: usize,
    // It stays as long as any tag does.
    common: Arc<Block<'bound, Common>>,
    command: Block<'bound, Command>,
    pages: KVec<Block<'bound>>,
}

impl<'bound> Tag<'bound> {
    /// The addresses that the device is given here stay what they are.
    fn new(
        commands: &'bound Pool<'bound, Command>,
        pages: &'bound Pool<'bound>,
        common: Arc<Block<'bound, Common>>,
        number: usize,
    ) -> Result<Self> {
        let mut tag = Self {
            number,
            common,
            command: commands.zalloc(GFP_KERNEL)?,
            pages: KVec::with_capacity(PAGES, GFP_KERNEL)?,
        };

        io_write!(tag.common, .headers[try: number].table, tag.command.dma_address());
        for piece in 0..PAGES {
            let page = pages.alloc(GFP_KERNEL)?;

            io_write!(tag.command, .pieces[try: piece].address, page.dma_address());
            tag.pages.push(page, GFP_KERNEL)?;
        }
        Ok(tag)
    }

    /// The bit of the tag in registers and sets.
    fn bit(&self) -> u32 {
        1u32.wrapping_shl(self.number as u32)
    }

    fn is_late(&self) -> bool {
        let timeout = Delta::from_millis(TIMEOUT_MS.into());

        self.command
            .state()
            .is_some_and(|since| since.elapsed() > timeout)
    }

    fn prepare(&self, is_write: bool, sector: u64, data: &[u8]) -> Result {
        let [a, b, c, d, e, f, 0, 0] = sector.to_le_bytes() else {
            return Err(EINVAL);
        };
        let [low, high, ..] = (data.len() / SECTOR).to_le_bytes();
        let tag = self.number.wrapping_shl(3) as u8;
        let (what, write) = if is_write {
            (FIS_WRITE, HEADER_WRITE)
        } else {
            (FIS_READ, 0)
        };
        let fis = [
            0x27, 0x80, what, low, a, b, c, 0x40, d, e, f, high, tag, 0, 0, 0, 0, 0, 0, 0,
        ];
        let pieces = data.len().div_ceil(PAGE) as u32;
        let flags = HEADER_FIS | write | pieces.wrapping_shl(HEADER_PIECES);

        io_project!(self.command, .fis).copy_write(fis);
        io_write!(self.common, .headers[try: self.number].flags, flags);
        for (piece, (page, part)) in self.pages.iter().zip(data.chunks(PAGE)).enumerate() {
            let last_byte = part.len().wrapping_sub(1) as u32;

            io_write!(self.command, .pieces[try: piece].last_byte, last_byte);
            if is_write {
                io_project!(page, [try: ..part.len()]).copy_from_slice(part);
            }
        }
        Ok(())
    }

    fn copy_to(&self, data: &mut [u8]) -> Result {
        for (page, part) in self.pages.iter().zip(data.chunks_mut(PAGE)) {
            io_project!(page, [try: ..part.len()]).copy_to_slice(part);
        }
        Ok(())
    }
}

/// The table, and sets of tags that are in there.
#[derive(Default)]
struct State<'bound> {
    tags: KVec<Option<Tag<'bound>>>,
    queued: u32,
    /// The device has them.
    issued: u32,
    /// To be tried alone; they are queued, but for the one that is tried.
    suspects: u32,
    failed: u32,
    /// A thread waits for them.
    awaited: u32,
    /// The port does not work any more.
    is_dead: bool,
}

impl<'bound> State<'bound> {
    fn put(&mut self, tag: Tag<'bound>) {
        if let Some(place) = self.tags.get_mut(tag.number) {
            *place = Some(tag);
        }
    }

    fn take_any(&mut self) -> Option<Tag<'bound>> {
        let busy = self.queued | self.issued | self.awaited;
        let is_free = |tag: &Tag<'_>| tag.bit() & busy == 0;

        self.tags
            .iter_mut()
            .find(|place| place.as_ref().is_some_and(is_free))?
            .take()
    }

    fn end(&mut self, tags: u32, failed: bool) {
        self.queued &= !tags;
        self.issued &= !tags;
        self.suspects &= !tags;
        if failed {
            self.failed |= tags;
        }
    }
}

#[pin_data(PinnedDrop)]
struct Port<'bound> {
    pdev: &'bound pci::Device<Bound>,
    bar: Bar<'bound>,
    #[pin]
    state: Mutex<State<'bound>>,
    #[pin]
    changed: CondVar,
}

impl<'bound> Port<'bound> {
    fn new(
        pdev: &'bound pci::Device<Core<'_>>,
        bar: Bar<'bound>,
    ) -> Result<impl PinInit<Self, Error> + 'bound> {
        let geometry = Geometry::<Common>::of_with::<1024, 0>();
        let common = Pool::new_managed(pdev, c"common", geometry)?.lend();
        let commands = Pool::new_managed(pdev, c"commands", Geometry::of_with::<128, 0>())?.lend();
        let pages = Pool::new_managed(pdev, c"pages", Geometry::new::<PAGE, PAGE, 0>())?.lend();
        let common = Arc::new(common.zalloc(GFP_KERNEL)?, GFP_KERNEL)?;
        let headers = common.dma_address();
        let received = io_project!(common, .received).dma_address();
        let mut tags = KVec::new();

        for number in 0..=(bar.read32(regs::CAP) >> 8) as usize & 0x1f {
            let tag = Tag::new(commands, pages, common.clone(), number)?;
            tags.push(Some(tag), GFP_KERNEL)?;
        }
        bar.write32(headers as u32, regs::PORT_CLB);
        bar.write32((headers >> 32) as u32, regs::PORT_CLBU);
        bar.write32(received as u32, regs::PORT_FB);
        bar.write32((received >> 32) as u32, regs::PORT_FBU);

        let pdev: &'bound pci::Device<Bound> = pdev;
        Ok(try_pin_init!(Self {
            pdev,
            bar,
            state <- new_mutex!(State {
                tags,
                ..Default::default()
            }),
            changed <- new_condvar!(),
        }))
    }

    /// Stops the port, resets the disk, which ends all commands, and starts again.
    fn restart(&self) -> Result {
        let bar = &self.bar;
        let irqs = regs::IRQ_DEVICE_BITS | regs::IRQ_ERRORS;

        bar.write32(regs::CMD_RECEIVE, regs::PORT_CMD);
        wait_for(bar, regs::PORT_CMD, regs::CMD_RUNS, 0)?;
        bar.write32(regs::DETECTION_RESET, regs::PORT_SCTL);
        fsleep(Delta::from_millis(1));
        bar.write32(0, regs::PORT_SCTL);
        wait_for(bar, regs::PORT_SSTS, regs::DETECTION, regs::DETECTION_DONE)?;
        bar.write32(u32::MAX, regs::PORT_SERR);
        wait_for(bar, regs::PORT_TFD, regs::TFD_BUSY, 0)?;
        bar.write32(u32::MAX, regs::PORT_IS);
        bar.write32(irqs, regs::PORT_IE);
        bar.write32(regs::CMD_RECEIVE | regs::CMD_START, regs::PORT_CMD);
        wait_for(bar, regs::PORT_CMD, regs::CMD_RUNS, regs::CMD_RUNS)
    }

    /// Tells the device of what is queued, as far as that may go together.
    fn issue(&self, state: &mut State<'bound>) {
        if state.is_dead {
            state.end(state.queued, true);
        }
        let next = match state.suspects {
            0 => state.queued,
            // The lowest bit.
            suspects if state.issued == 0 => suspects & suspects.wrapping_neg(),
            _ => 0,
        };

        for tag in state.tags.iter_mut().flatten() {
            if tag.bit() & next != 0 {
                *tag.command.state_mut() = Some(Instant::now());
            }
        }
        state.queued &= !next;
        state.issued |= next;
        // These wait for what was written to the blocks before.
        self.bar.write32(next, regs::PORT_SACT);
        self.bar.write32(next, regs::PORT_CI);
    }

    /// Ends all commands. If it was about one alone, that has failed.
    fn recover(&self, state: &mut State<'bound>, why: &str) {
        let issued = state.issued;
        let restarted = self.restart();

        dev_info!(
            self.pdev,
            "{why}: restarted with {} commands: {restarted:?}\n",
            issued.count_ones()
        );
        state.is_dead |= restarted.is_err();
        if state.is_dead || issued.is_power_of_two() {
            state.end(issued, true);
        } else {
            state.issued = 0;
            state.queued |= issued;
            state.suspects |= issued;
        }
        self.issue(state);
        self.changed.notify_all();
    }

    /// Waits for a change, and sees to commands that take too long.
    fn wait(&self, state: &mut MutexGuard<'_, State<'bound>>) -> Result {
        let timeout = msecs_to_jiffies(TIMEOUT_MS);
        let result = self.changed.wait_interruptible_timeout(state, timeout);
        let issued = state.issued;
        let mut tags = state.tags.iter().flatten();

        if tags.any(|tag| tag.bit() & issued != 0 && tag.is_late()) {
            self.recover(state, "timeout");
        }
        match result {
            CondVarTimeoutResult::Signal { .. } => Err(EINTR),
            _ => Ok(()),
        }
    }

    fn take(&self) -> Result<Tag<'bound>> {
        let mut state = self.state.lock();

        loop {
            if let Some(tag) = state.take_any() {
                return Ok(tag);
            }
            self.wait(&mut state)?;
        }
    }

    fn put_back(&self, tag: Tag<'bound>) {
        self.state.lock().put(tag);
        self.changed.notify_all();
    }

    /// Has the device do what a tag was prepared for. If there is an error, the tag stays in the
    /// table.
    fn run(&self, tag: Tag<'bound>) -> Result<Tag<'bound>> {
        let mut state = self.state.lock();
        let (number, bit) = (tag.number, tag.bit());

        state.put(tag);
        state.queued |= bit;
        state.awaited |= bit;
        state.failed &= !bit;
        self.issue(&mut state);
        let mut result = Ok(());
        while result.is_ok() && (state.queued | state.issued) & bit != 0 {
            result = self.wait(&mut state);
        }
        state.awaited &= !bit;
        self.changed.notify_all();
        result?;
        if state.failed & bit != 0 {
            return Err(EIO);
        }
        state.tags.get_mut(number).and_then(Option::take).ok_or(EIO)
    }

    fn transfer(&self, is_write: bool, offset: file::Offset, data: &mut [u8]) -> Result {
        let offset = usize::try_from(offset)?;

        if offset % SECTOR != 0 || data.len() % SECTOR != 0 || data.is_empty() {
            return Err(EINVAL);
        }
        let mut tag = self.take()?;
        let mut result = tag.prepare(is_write, (offset / SECTOR) as u64, data);
        if result.is_ok() {
            tag = self.run(tag)?;
            if !is_write {
                result = tag.copy_to(data);
            }
        }
        self.put_back(tag);
        result
    }
}

impl irq::ThreadedHandler for Port<'_> {
    fn handle_threaded(&self) -> irq::IrqReturn {
        let mut state = self.state.lock();
        let status = self.bar.read32(regs::PORT_IS);

        if status == 0 {
            return irq::IrqReturn::None;
        }
        self.bar.write32(status, regs::PORT_IS);
        self.bar.write32(1, regs::IS);
        // What the device has written is read after this.
        let active = self.bar.read32(regs::PORT_SACT) | self.bar.read32(regs::PORT_CI);
        let done = state.issued & !active;
        state.end(done, false);
        if status & regs::IRQ_ERRORS != 0 {
            self.recover(&mut state, "error");
        }
        self.issue(&mut state);
        self.changed.notify_all();
        irq::IrqReturn::Handled
    }
}

#[pinned_drop]
impl PinnedDrop for Port<'_> {
    fn drop(self: Pin<&mut Self>) {
        let mut state = self.state.lock();
        let issued = state.issued.count_ones();

        if reset(&self.bar).is_err() {
            dev_err!(self.pdev, "does not stop, so its memory stays\n");
            mem::forget(mem::take(&mut state.tags));
        }
        dev_info!(self.pdev, "stopped with {issued} commands\n");
    }
}

fn wait_for(bar: &Bar<'_>, register: usize, mask: u32, value: u32) -> Result {
    read_poll_timeout(
        || bar.try_read32(register),
        |now| now & mask == value,
        Delta::from_millis(1),
        Delta::from_secs(1),
    )?;
    Ok(())
}

/// Resets the controller: after that it knows of no memory.
fn reset(bar: &Bar<'_>) -> Result {
    bar.write32(regs::GHC_AHCI, regs::GHC);
    bar.write32(regs::GHC_AHCI | regs::GHC_RESET, regs::GHC);
    wait_for(bar, regs::GHC, regs::GHC_RESET, 0)?;
    bar.write32(regs::GHC_AHCI | regs::GHC_IRQ, regs::GHC);
    Ok(())
}

/// The disk, for debugfs.
struct Disk(&'static Port<'static>);

impl debugfs::BinaryWriter for Disk {
    fn write_to_slice(
        &self,
        writer: &mut UserSliceWriter,
        offset: &mut file::Offset,
    ) -> Result<usize> {
        let mut data = KVec::from_elem(0, writer.len().min(PAGES * PAGE), GFP_KERNEL)?;

        self.0.transfer(false, *offset, &mut data)?;
        writer.write_slice(&data)?;
        *offset = offset.wrapping_add(data.len() as file::Offset);
        Ok(data.len())
    }
}

impl debugfs::BinaryReader for Disk {
    fn read_from_slice(
        &self,
        reader: &mut UserSliceReader,
        offset: &mut file::Offset,
    ) -> Result<usize> {
        let mut data = KVec::from_elem(0, reader.len().min(PAGES * PAGE), GFP_KERNEL)?;

        reader.read_slice(&mut data)?;
        self.0.transfer(true, *offset, &mut data)?;
        *offset = offset.wrapping_add(data.len() as file::Offset);
        Ok(data.len())
    }
}

/// How many commands the device has.
impl debugfs::Writer for Disk {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0.state.lock().issued.count_ones())
    }
}

/// In the order in which they go: no more users, no more interrupts, no more port.
struct DriverData<'bound> {
    _files: Pin<KBox<debugfs::Scope<Disk>>>,
    _port: Pin<KBox<irq::ThreadedRegistration<'bound, Port<'bound>>>>,
}

impl<'bound> DriverData<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        pdev.enable_device_mem()?;
        pdev.set_master();

        let bar = pdev.iomap_region_sized::<{ regs::END }>(5, c"rust_dmapool_tags")?;
        reset(&bar)?;
        let mask = match bar.read32(regs::CAP) {
            cap if cap & regs::CAP_QUEUES == 0 => return Err(ENODEV),
            cap if cap & regs::CAP_64_BITS == 0 => DmaMask::new::<32>(),
            _ => DmaMask::new::<64>(),
        };
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe { pdev.dma_set_mask_and_coherent(mask)? };

        let vectors = lend_vectors(pdev, 1, 1, pci::IrqTypes::all())?;
        // SAFETY: The registration is kept in the driver's data, which is dropped.
        let port = unsafe {
            irq::ThreadedRegistration::new(
                vectors.index(0)?.into(),
                irq::Flags::SHARED | irq::Flags::ONESHOT,
                c"rust_dmapool_tags",
                Port::new(pdev, bar)?,
            )
        };
        let port = KBox::pin_init(port, GFP_KERNEL)?;
        // There may be no disk.
        port.handler().restart().map_err(|_| ENODEV)?;

        // SAFETY: Only the files use this. They go before the port does, which stays where it is,
        // and their end waits for whoever is in there.
        let disk = Disk(unsafe { &*core::ptr::from_ref(port.handler()).cast() });
        let files = debugfs::Scope::dir(disk, c"rust_dmapool_tags", |disk, dir| {
            dir.read_write_binary_file(c"disk", disk);
            dir.read_only_file(c"issued", disk);
        });
        Ok(Self {
            _files: KBox::pin_init(files, GFP_KERNEL)?,
            _port: port,
        })
    }
}

struct TagsDriver;

kernel::pci_device_table!(
    PCI_TABLE,
    <TagsDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_class(0x010601, 0xffffff), ())]
);

impl pci::Driver for TagsDriver {
    type IdInfo = ();
    type Data<'bound> = DriverData<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        DriverData::new(pdev)
    }
}

kernel::module_pci_driver! {
    type: TagsDriver,
    name: "tags",
    authors: ["The rust_dmapool authors"],
    description: "A table of commands by tag, each with its memory",
    license: "GPL v2",
}
