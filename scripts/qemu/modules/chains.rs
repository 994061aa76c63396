// SPDX-License-Identifier: GPL-2.0

//! A DMA engine with chains of descriptors, and the clients that have it copy.
//!
//! The engine is QEMU's `lsi53c895a`: this SCSI controller executes instructions that it fetches
//! from memory, some of which copy memory, without anything on its SCSI bus. Its clients are
//! auxiliary devices. When a client is bound, it submits several transactions at once, and is given
//! their buffers back when they are done.
//!
//! A transaction copies a buffer, in pieces, to a second one, and this to a third one. Its chains
//! are made in atomic context: the first one with the engine's lock held, the second one in the
//! interrupt handler, where both are freed.

use core::mem;
use kernel::{
    auxiliary,
    device::Core,
    dma::{
        Device,
        DmaAddress,
        DmaMask, //
    },
    driver,
    io::{
        io_project,
        io_write,
        Io, //
    },
    irq,
    new_condvar,
    pci,
    prelude::*,
    sync::{
        new_spinlock_irq,
        Arc,
        CondVar,
        CondVarTimeoutResult,
        SpinLockIrq, //
    },
    time::{
        delay::udelay,
        msecs_to_jiffies,
        Delta, //
    },
    types::ForLt, //
};
use rust_dmapool::{
    lend_vectors,
    Block,
    Geometry,
    Options,
    Pool, //
};

const NAME: &CStr = <LocalModule as kernel::ModuleMetadata>::NAME;

const END: usize = 0x60;
const DSTAT: usize = 0x0c;
const ISTAT: usize = 0x14;
const DSP: usize = 0x2c;
const DSPS: usize = 0x30;
const DIEN: usize = 0x39;
const ISTAT_DMA: u8 = 1 << 0;
const ISTAT_RESET: u8 = 1 << 6;
const DSTAT_INTERRUPT: u8 = 1 << 2;
const DSTAT_FIFO_EMPTY: u8 = 1 << 7;
/// That the chain has ended, and all errors.
const DIEN_ALL: u8 = 0x75;

/// Instructions: copy so many bytes, go on elsewhere, stop with an interrupt.
const MOVE: u32 = 0xc000_0000;
const JUMP: u32 = 0x8008_0000;
const INTERRUPT: u32 = 0x9808_0000;

const CLIENTS: u32 = 4;

/// Transactions that a client has submitted at once.
const DEPTH: u32 = 4;

/// Blocks of a buffer, and their size.
const BLOCKS: usize = 4;
const SIZE: usize = 512;

/// What is copied by one descriptor. An odd number, so that it begins and ends anywhere.
const PIECE: usize = 13;

/// Descriptors of a chain.
const LINKS: usize = BLOCKS * SIZE.div_ceil(PIECE);

type Data = [u8; SIZE];

fn pattern(seed: u32) -> Data {
    let mut value = seed.wrapping_mul(0x9e37_79b9);

    // A linear congruential generator.
    core::array::from_fn(|_| {
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // CAST: The upper bits.
        (value >> 24) as u8
    })
}

/// What is copied from or to.
struct Buffer<'bound>([Option<Block<'bound, Data>>; BLOCKS]);

impl<'bound> Buffer<'bound> {
    fn new(pool: &'bound Pool<'bound, Data>) -> Result<Self> {
        let mut blocks = [const { None }; BLOCKS];

        pool.alloc_bulk(&mut blocks, GFP_KERNEL | __GFP_ZERO)?;
        Ok(Self(blocks))
    }

    fn blocks(&self) -> impl Iterator<Item = &Block<'bound, Data>> {
        self.0.iter().flatten()
    }

    fn fill(&self, seed: u32) {
        for (block, number) in self.blocks().zip(0..) {
            block.copy_write(pattern(seed.wrapping_add(number)));
        }
    }

    fn is_filled(&self, seed: u32) -> bool {
        self.blocks()
            .zip(0..)
            .all(|(block, number)| block.copy_read() == pattern(seed.wrapping_add(number)))
    }
}

/// What the device executes: it copies a piece, and then goes on, or stops.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Descriptor {
    copy: u32,
    source: u32,
    destination: u32,
    then: u32,
    argument: u32,
}

/// As the device has it in a register; in a descriptor it is little-endian.
fn address(dma: DmaAddress) -> u32 {
    // CAST: There is a mask of 32 bits.
    dma as u32
}

#[derive(PartialEq)]
enum Status {
    Submitted,
    Issued,
    Running,
    Done(Result),
}

struct Transaction<'bound> {
    cookie: u32,
    status: Status,
    from: Buffer<'bound>,
    to: Buffer<'bound>,
    /// Where it goes after that.
    onward: Option<Buffer<'bound>>,
    chain: KVec<Block<'bound, Descriptor>>,
}

impl<'bound> Transaction<'bound> {
    /// Makes the chain. Atomic context: there is room in the table, so that nothing is allocated
    /// but blocks.
    fn link(&mut self, pool: &'bound Pool<'bound, Descriptor>) -> Result {
        for (from, to) in self.from.blocks().zip(self.to.blocks()) {
            for begin in (0..SIZE).step_by(PIECE) {
                let end = begin.saturating_add(PIECE).min(SIZE);
                // Their addresses must agree in the lowest two bits.
                let source = io_project!(from, [try: begin..end]);
                let destination = io_project!(to, [try: begin..end]);
                let descriptor = pool.alloc(GFP_ATOMIC)?;

                descriptor.copy_write(Descriptor {
                    // CAST: At most `PIECE`.
                    copy: (MOVE | source.len() as u32).to_le(),
                    source: address(source.dma_address()).to_le(),
                    destination: address(destination.dma_address()).to_le(),
                    then: INTERRUPT.to_le(),
                    argument: self.cookie.to_le(),
                });
                if let Some(last) = self.chain.last() {
                    io_write!(last, .then, JUMP.to_le());
                    io_write!(last, .argument, address(descriptor.dma_address()).to_le());
                }
                self.chain.push(descriptor, GFP_ATOMIC)?;
            }
        }
        Ok(())
    }

    /// The device has come to the end of the chain, or was stopped. Any context.
    fn advance(&mut self, result: Result, pool: &'bound Pool<'bound, Descriptor>) {
        self.chain.clear();
        self.status = match (result, self.onward.take()) {
            (Ok(()), Some(onward)) => {
                self.from = mem::replace(&mut self.to, onward);
                match self.link(pool) {
                    Ok(()) => Status::Issued,
                    Err(err) => Status::Done(Err(err)),
                }
            }
            (result, _) => Status::Done(result),
        };
    }
}

struct State<'bound> {
    last_cookie: u32,
    /// The oldest one is first.
    transactions: KVec<Transaction<'bound>>,
    stopped: bool,
}

#[pin_data]
struct Engine<'bound> {
    bar: pci::Bar<'bound, END>,
    descriptors: &'bound Pool<'bound, Descriptor>,
    data: &'bound Pool<'bound, Data>,
    #[pin]
    state: SpinLockIrq<State<'bound>>,
    #[pin]
    changed: CondVar,
}

impl<'bound> Engine<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Arc<Self>> {
        let bar = pdev.iomap_region_sized(1, NAME)?;
        // For one chain, should the system have no memory.
        let options = Options::new().min_nr(LINKS);
        let descriptors = Pool::new_managed_with(pdev, c"descriptors", Geometry::of(), options)?;
        let data = Pool::new_managed(pdev, c"data", Geometry::of_with::<4, 0>())?;

        Arc::pin_init(
            pin_init!(Self {
                bar,
                descriptors: descriptors.lend(),
                data: data.lend(),
                state <- new_spinlock_irq!(State {
                    last_cookie: 0,
                    transactions: KVec::new(),
                    stopped: false,
                }),
                changed <- new_condvar!(),
            }),
            GFP_KERNEL,
        )
    }

    /// Stops the device, and then lets it interrupt for these reasons. What it was executing can be
    /// freed after this.
    fn reset(&self, interrupts: u8) {
        self.bar.write8(ISTAT_RESET, ISTAT);
        udelay(Delta::from_micros(10));
        self.bar.write8(0, ISTAT);
        self.bar.write8(interrupts, DIEN);
        // A write may be on its way for a while, but no read overtakes it.
        self.bar.read8(ISTAT);
    }

    /// Has the device execute the oldest chain, if it does not execute any.
    fn start(&self, transactions: &mut [Transaction<'bound>]) {
        if transactions.iter().any(|t| t.status == Status::Running) {
            return;
        }
        if let Some(next) = transactions.iter_mut().find(|t| t.status == Status::Issued) {
            if let Some(first) = next.chain.first() {
                // This is `writel()`, so the device sees what was written to the chain before.
                self.bar.write32(address(first.dma_address()), DSP);
                next.status = Status::Running;
            }
        }
    }

    fn submit(&self, from: Buffer<'bound>) -> Result<Handle<'_, 'bound>> {
        let mut transaction = Transaction {
            cookie: 0,
            status: Status::Submitted,
            from,
            to: Buffer::new(self.data)?,
            onward: Some(Buffer::new(self.data)?),
            chain: KVec::with_capacity(LINKS, GFP_KERNEL)?,
        };
        let mut state = self.state.lock();

        if state.stopped {
            return Err(ENODEV);
        }
        state.last_cookie = state.last_cookie.wrapping_add(1);
        transaction.cookie = state.last_cookie;
        transaction.link(self.descriptors)?;
        state.transactions.push(transaction, GFP_ATOMIC)?;
        Ok(Handle {
            engine: self,
            cookie: state.last_cookie,
        })
    }

    /// Lets the device have all that was submitted.
    fn issue(&self) {
        let transactions = &mut self.state.lock().transactions;

        for transaction in transactions.iter_mut() {
            if transaction.status == Status::Submitted {
                transaction.status = Status::Issued;
            }
        }
        self.start(transactions);
    }

    fn stop(&self) {
        let mut state = self.state.lock();

        self.reset(0);
        state.stopped = true;
        for transaction in &mut state.transactions {
            transaction.advance(Err(ESHUTDOWN), self.descriptors);
        }
        self.changed.notify_all();
    }
}

/// A transaction that was submitted. If this is dropped, it is terminated.
struct Handle<'a, 'bound> {
    engine: &'a Engine<'bound>,
    cookie: u32,
}

impl<'bound> Handle<'_, 'bound> {
    /// Returns the last buffer.
    fn wait(self) -> Result<Buffer<'bound>> {
        let mut state = self.engine.state.lock();
        let is_mine = |t: &Transaction<'_>| t.cookie == self.cookie;
        let is_done = |t: &Transaction<'_>| matches!(t.status, Status::Done(_));

        loop {
            let mut transactions = state.transactions.iter();
            if let Some(index) = transactions.position(|t| is_mine(t) && is_done(t)) {
                let transaction = state.transactions.remove(index)?;

                return match transaction.status {
                    Status::Done(Err(err)) => Err(err),
                    _ => Ok(transaction.to),
                };
            }
            let (changed, timeout) = (&self.engine.changed, msecs_to_jiffies(5_000));
            match changed.wait_interruptible_timeout(&mut state, timeout) {
                CondVarTimeoutResult::Woken { .. } => {}
                CondVarTimeoutResult::Timeout => return Err(ETIMEDOUT),
                CondVarTimeoutResult::Signal { .. } => return Err(EINTR),
            }
        }
    }
}

impl Drop for Handle<'_, '_> {
    fn drop(&mut self) {
        let transactions = &mut self.engine.state.lock().transactions;

        transactions.retain(|transaction| {
            let is_mine = transaction.cookie == self.cookie;

            if is_mine && transaction.status == Status::Running {
                self.engine.reset(DIEN_ALL);
            }
            !is_mine
        });
        self.engine.start(transactions);
    }
}

struct Interrupt<'bound>(Arc<Engine<'bound>>);

impl irq::Handler for Interrupt<'_> {
    fn handle(&self) -> irq::IrqReturn {
        let Self(engine) = self;
        let transactions = &mut engine.state.lock().transactions;

        if engine.bar.read8(ISTAT) & ISTAT_DMA == 0 {
            return irq::IrqReturn::None;
        }
        // This ends the interrupt. It is `readb()`, so what the device has copied is read after it,
        // also by whoever takes the lock later.
        let status = engine.bar.read8(DSTAT) & !DSTAT_FIFO_EMPTY;
        let cookie = engine.bar.read32(DSPS);
        let running = transactions
            .iter_mut()
            .find(|t| t.status == Status::Running);

        let is_end = running.as_ref().is_some_and(|t| t.cookie == cookie);
        let result = if status == DSTAT_INTERRUPT && is_end {
            Ok(())
        } else {
            dev_warn!(
                engine.data.device(),
                "reset, because of status {status:#x}\n"
            );
            engine.reset(DIEN_ALL);
            Err(EIO)
        };
        if let Some(running) = running {
            running.advance(result, engine.descriptors);
        }
        engine.changed.notify_all();
        engine.start(transactions);
        irq::IrqReturn::Handled
    }
}

/// In the order in which it goes, after the engine was stopped.
struct EngineData<'bound> {
    clients: KVec<auxiliary::Registration<'bound, ForLt!(Arc<Engine<'_>>)>>,
    _interrupt: Pin<KBox<irq::Registration<'bound, Interrupt<'bound>>>>,
    engine: Arc<Engine<'bound>>,
}

impl<'bound> EngineData<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        pdev.enable_device_mem()?;
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::new::<32>())? };

        let engine = Engine::new(pdev)?;
        let types = pci::IrqTypes::default().with(pci::IrqType::Intx);
        let vector = lend_vectors(pdev, 1, 1, types)?.index(0)?;
        let handler = Ok(Interrupt(engine.clone()));
        // SAFETY: The registration is kept in the driver's data, which is dropped.
        let interrupt =
            unsafe { irq::Registration::new(vector.into(), irq::Flags::SHARED, NAME, handler) };
        let mut data = Self {
            clients: KVec::new(),
            _interrupt: KBox::pin_init(interrupt, GFP_KERNEL)?,
            engine,
        };

        // Whoever had the device before may have left it running.
        data.engine.reset(DIEN_ALL);
        pdev.set_master();
        for id in 0..CLIENTS {
            let (dev, engine) = (pdev.as_ref(), Ok::<_, Error>(data.engine.clone()));
            // SAFETY: As above.
            let client =
                unsafe { auxiliary::Registration::new_with_lt(dev, c"client", id, NAME, engine)? };

            data.clients.push(client, GFP_KERNEL)?;
        }
        Ok(data)
    }
}

impl Drop for EngineData<'_> {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

struct EngineDriver;

kernel::pci_device_table!(
    PCI_TABLE,
    <EngineDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::LSI_LOGIC, 0x12), ())]
);

impl pci::Driver for EngineDriver {
    type IdInfo = ();
    type Data<'bound> = EngineData<'bound>;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        EngineData::new(pdev)
    }
}

/// A client is bound if all that it had copied has arrived.
struct ClientDriver;

impl ClientDriver {
    fn run(engine: &Engine<'_>, id: u32) -> Result {
        for round in 0..module_parameters::rounds.value() {
            let seed = |number: u32| id << 24 | round << 8 | number << 4;
            let mut handles = KVec::new();

            for number in 0..DEPTH {
                let buffer = Buffer::new(engine.data)?;

                buffer.fill(seed(number));
                handles.push(engine.submit(buffer)?, GFP_KERNEL)?;
            }
            engine.issue();
            for (handle, number) in handles.into_iter().zip(0..) {
                if !handle.wait()?.is_filled(seed(number)) {
                    dev_err!(
                        engine.data.device(),
                        "client {id}: what has arrived is wrong\n"
                    );
                    return Err(EBADMSG);
                }
            }
        }
        Ok(())
    }
}

kernel::auxiliary_device_table!(
    AUX_TABLE,
    <ClientDriver as auxiliary::Driver>::IdInfo,
    [(auxiliary::DeviceId::new(NAME, c"client"), ())]
);

impl auxiliary::Driver for ClientDriver {
    type IdInfo = ();
    type Data<'bound> = Self;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &AUX_TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self, Error> + 'bound {
        let run = |engine: Pin<&Arc<Engine<'_>>>| Self::run(&engine, adev.id());

        adev.registration_data_with::<ForLt!(Arc<Engine<'_>>), _>(run)??;
        Ok(Self)
    }
}

#[pin_data]
struct Module {
    #[pin]
    engines: driver::Registration<pci::Adapter<EngineDriver>>,
    #[pin]
    clients: driver::Registration<auxiliary::Adapter<ClientDriver>>,
}

impl kernel::InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            engines <- driver::Registration::new(NAME, module),
            clients <- driver::Registration::new(NAME, module),
        })
    }
}

module! {
    type: Module,
    name: "chains",
    authors: ["The rust_dmapool authors"],
    description: "A DMA engine with chains of descriptors, and its clients",
    license: "GPL v2",
    params: {
        rounds: u32 {
            default: 16,
            description: "How often a client submits its transactions",
        },
    },
}
