// SPDX-License-Identifier: GPL-2.0

//! A network card with two descriptor rings: Intel's 82540EM, which is QEMU's `e1000`.
//!
//! It pings the host that QEMU's user network has. The interrupt handler takes what was received
//! out of its ring, fills the places that this leaves empty, and frees what was sent. Its thread
//! looks at each answer, and sends the next ping in the same block: nothing is copied.

use kernel::{
    device::{
        Bound,
        Core, //
    },
    dma::{
        Device,
        DmaMask, //
    },
    io::{
        io_read,
        io_write,
        Io, //
    },
    irq,
    new_mutex,
    new_spinlock_irq,
    pci,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        barrier::{
            dma_mb,
            Read, //
        },
        Mutex,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use rust_dmapool::{
    lend_vectors,
    Block,
    Geometry,
    Pool,
    WithState, //
};

const END: usize = 0x5408;
const CTRL: usize = 0x0000;
const CTRL_LINK_UP: u32 = 1 << 6;
const CTRL_RESET: u32 = 1 << 26;
const STATUS: usize = 0x0008;
/// Of interrupts: causes, and which of them are enabled and disabled.
const ICR: usize = 0x00c0;
const IMS: usize = 0x00d0;
const IMC: usize = 0x00d8;
/// Sent; few descriptors left; none left; received.
const INTERRUPTS: u32 = 1 << 0 | 1 << 4 | 1 << 6 | 1 << 7;
const RCTL: usize = 0x0100;
/// Enabled, and without the checksum at the end of a frame.
const RCTL_ON: u32 = 1 << 1 | 1 << 26;
const TCTL: usize = 0x0400;
/// Enabled, short frames are padded, and the usual numbers for collisions.
const TCTL_ON: u32 = 1 << 1 | 1 << 3 | 0x0f << 4 | 0x40 << 12;
const TIPG: usize = 0x0410;
/// The usual gaps between frames.
const TIPG_USUAL: u32 = 10 | 8 << 10 | 6 << 20;
const RX: usize = 0x2800;
const TX: usize = 0x3800;
/// Of either ring: where it is, in two halves, its bytes, and what the card has of it.
const BASE: usize = 0x00;
const BASE_HIGH: usize = 0x04;
const LEN: usize = 0x08;
const HEAD: usize = 0x10;
const TAIL: usize = 0x18;
/// Our address, in the card's byte order, with a bit that says that there is one.
const RAL: (usize, u32) = (0x5400, 0x0000_0002);
const RAH: (usize, u32) = (0x5404, 0x0100 | 1 << 31);

/// Descriptors of a ring.
const ENTRIES: usize = 64;

/// Pings that are under way at most; it may take a while until a packet that was sent is freed.
const AT_ONCE: u32 = 48;

/// Of either ring.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Descriptor {
    address: u64,
    len: u16,
    command: u16,
    status: u8,
    errors: u8,
    special: u16,
}

/// A command: that is the end of a frame, to which the card adds a checksum, and then says so.
const SEND: u16 = (1 << 0 | 1 << 1 | 1 << 3) << 8;
/// A status: the card is done with it.
const DONE: u8 = 1 << 0;

/// Room for a frame, and beside it how many bytes that has.
type Buffer = WithState<[u16; 1024], u16>;

type Packet<'bound> = Block<'bound, Buffer>;

/// Descriptors for the card, and the packets that they are about.
struct Ring<'bound> {
    descriptors: Block<'bound, [Descriptor; ENTRIES]>,
    packets: [Option<Packet<'bound>>; ENTRIES],
    /// The oldest entry that the card has.
    head: usize,
    /// The first entry after it that the card does not have.
    tail: usize,
}

fn next(index: usize) -> usize {
    index.wrapping_add(1) % ENTRIES
}

impl<'bound> Ring<'bound> {
    fn new(pool: &'bound Pool<'bound, [Descriptor; ENTRIES]>) -> Result<Self> {
        Ok(Self {
            descriptors: pool.zalloc(GFP_KERNEL)?,
            packets: [const { None }; ENTRIES],
            head: 0,
            tail: 0,
        })
    }

    /// Describes the packet in the place at the tail, if there is one, and moves the tail. The card
    /// never gets all entries: that would look to it as if it had none.
    fn give(&mut self, command: u16) -> Result {
        let packet = self.packets.get(self.tail).and_then(Option::as_ref);
        let packet = packet.ok_or(ENOENT)?;

        if next(self.tail) == self.head {
            return Err(EBUSY);
        }
        io_write!(self.descriptors, [try: self.tail].address, packet.dma_address().to_le());
        io_write!(self.descriptors, [try: self.tail].len, packet.state().to_le());
        io_write!(self.descriptors, [try: self.tail].command, command.to_le());
        io_write!(self.descriptors, [try: self.tail].status, 0);
        self.tail = next(self.tail);
        Ok(())
    }

    /// Takes the packet at the head, if the card is done with it. One with errors has no bytes.
    fn take(&mut self) -> Result<Option<Packet<'bound>>> {
        if self.head == self.tail || io_read!(self.descriptors, [try: self.head].status) & DONE == 0
        {
            return Ok(None);
        }
        // What the card wrote before it said so must not be read earlier.
        dma_mb(Read);
        let mut packet = self.packets.get_mut(self.head).and_then(Option::take);
        if let Some(packet) = &mut packet {
            *packet.state_mut() = match io_read!(self.descriptors, [try: self.head].errors) {
                0 => u16::from_le(io_read!(self.descriptors, [try: self.head].len)),
                _ => 0,
            };
        }
        self.head = next(self.head);
        Ok(packet)
    }

    /// Fills the empty places, from the tail on: if there are not enough blocks, the card gets what
    /// there is, and the rest is for the next time.
    fn refill(&mut self, pool: &'bound Pool<'bound, Buffer>) {
        if let Some((wrapped, first)) = self.packets.split_at_mut_checked(self.tail) {
            let places = Iterator::chain(first.iter_mut(), wrapped);

            pool.fill_empty(places, GFP_ATOMIC | __GFP_NOWARN);
        }
        while self.give(0).is_ok() {}
    }
}

/// A frame that says who has our address, in words, as are all frames here.
const ANNOUNCEMENT: [u16; 21] = [
    0xffff, 0xffff, 0xffff, 0x0200, 0x0000, 0x0001, 0x0806, 0x0001, 0x0800, 0x0604, 0x0001, 0x0200,
    0x0000, 0x0001, 0x0a00, 0x020f, 0x0000, 0x0000, 0x0000, 0x0a00, 0x020f,
];

/// What comes before the part of a ping that is sent back, without length and checksum.
const HEADER: [u16; 17] = [
    0x5255, 0x0a00, 0x0202, 0x0200, 0x0000, 0x0001, 0x0800, 0x4500, 0, 0x0000, 0x0000, 0x4001, 0,
    0x0a00, 0x020f, 0x0a00, 0x0202,
];
const REQUEST: u16 = 0x0800;
const ANSWER: u16 = 0x0000;

#[derive(Clone, Copy)]
struct Ping {
    id: u16,
    sequence: u16,
}

impl Ping {
    /// Words after the header, so many that frames have 60 to 1512 bytes.
    fn words(self) -> usize {
        usize::from(self.sequence).wrapping_mul(251) % 364 * 2 + 13
    }

    /// One of them. The data come in pairs of a word and its complement, so that they do not
    /// matter for the checksum.
    fn word(self, kind: u16, index: usize) -> u16 {
        match index {
            0 => kind,
            1 => !kind.wrapping_add(self.id),
            2 => self.id,
            // CAST: Less than 1024.
            _ => {
                (index.wrapping_sub(3) as u16 / 2)
                    .wrapping_mul(30_341)
                    .wrapping_add(self.sequence)
                    ^ (index as u16 & 1).wrapping_sub(1)
            }
        }
    }

    fn request(self) -> impl Iterator<Item = u16> {
        // CAST: At most 1500.
        let len = (self.words() as u16).wrapping_add(10).wrapping_mul(2);
        let mut header = HEADER;
        header[8] = len;
        // All others add up to this.
        header[12] = !len.wrapping_add(0x9d12);
        let words = (0..self.words()).map(move |index| self.word(REQUEST, index));

        Iterator::chain(header.into_iter(), words)
    }

    /// Whether this is an answer to that ping, from its first byte to its last.
    fn is_answered_by(self, packet: &Packet<'_>) -> Result<bool> {
        for index in 0..self.words() {
            let word = io_read!(packet, [try: HEADER.len().wrapping_add(index)]);
            if u16::from_be(word) != self.word(ANSWER, index) {
                return Ok(false);
            }
        }
        let len = HEADER.len().wrapping_add(self.words()).wrapping_mul(2);
        Ok(usize::from(*packet.state()) == len)
    }
}

/// What the interrupt handler works on.
struct State<'bound> {
    rx: Ring<'bound>,
    tx: Ring<'bound>,
    /// For the thread; with room for all that there can be.
    received: KVec<Packet<'bound>>,
}

/// What the thread counts.
struct Traffic {
    sent: u32,
    answered: u32,
    lost: u32,
}

impl Traffic {
    /// The next ping to be answered, if none is lost.
    fn expected(&self) -> u32 {
        self.answered.wrapping_add(self.lost)
    }
}

#[pin_data]
struct Nic<'bound> {
    pdev: &'bound pci::Device<Bound>,
    bar: pci::Bar<'bound, END>,
    packets: &'bound Pool<'bound, Buffer>,
    #[pin]
    state: SpinLockIrq<State<'bound>>,
    /// What tells our pings from those before the driver was bound anew.
    id: u16,
    #[pin]
    traffic: Mutex<Traffic>,
}

impl<'bound> Nic<'bound> {
    fn start(&self) -> Result {
        self.bar.write32(CTRL_LINK_UP, CTRL);
        self.bar.write32(RAL.1, RAL.0);
        self.bar.write32(RAH.1, RAH.0);
        self.bar.write32(TIPG_USUAL, TIPG);
        self.set_up::<RX>(&self.state.lock().rx);
        self.set_up::<TX>(&self.state.lock().tx);
        self.bar.write32(RCTL_ON, RCTL);
        self.bar.write32(TCTL_ON, TCTL);

        self.send(self.packets.alloc(GFP_KERNEL)?, ANNOUNCEMENT.into_iter())?;
        self.ping_more(&mut self.traffic.lock())?;
        self.poll(&mut self.state.lock())?;
        self.bar.write32(INTERRUPTS, IMS);
        Ok(())
    }

    fn set_up<const AT: usize>(&self, ring: &Ring<'_>) {
        let address = ring.descriptors.dma_address();

        // CAST: A half each, and a page at most.
        self.bar.write32(address as u32, AT + BASE);
        self.bar.write32((address >> 32) as u32, AT + BASE_HIGH);
        self.bar
            .write32((ENTRIES * size_of::<Descriptor>()) as u32, AT + LEN);
        self.bar.write32(0, AT + HEAD);
        self.bar.write32(0, AT + TAIL);
    }

    fn send(&self, mut packet: Packet<'bound>, words: impl Iterator<Item = u16>) -> Result {
        *packet.state_mut() = 0;
        for (index, word) in words.enumerate() {
            io_write!(packet, [try: index], word.to_be());
            *packet.state_mut() = packet.state().wrapping_add(2);
        }

        let tx = &mut self.state.lock().tx;
        *tx.packets.get_mut(tx.tail).ok_or(EINVAL)? = Some(packet);
        tx.give(SEND)?;
        // This is `writel()`, so the card sees what was written to the blocks before.
        // CAST: Less than `ENTRIES`.
        self.bar.write32(tx.tail as u32, TX + TAIL);
        Ok(())
    }

    /// Sends the next ping.
    fn ping(&self, traffic: &mut Traffic, packet: Packet<'bound>) -> Result {
        let ping = Ping {
            id: self.id,
            // CAST: They begin anew after 2^16.
            sequence: traffic.sent as u16,
        };

        self.send(packet, ping.request())?;
        traffic.sent = traffic.sent.wrapping_add(1);
        Ok(())
    }

    /// Sends pings until as many are under way as may be, or there are no blocks for more.
    fn ping_more(&self, traffic: &mut Traffic) -> Result {
        while traffic.sent.wrapping_sub(traffic.expected()) < AT_ONCE {
            let Ok(packet) = self.packets.alloc(GFP_NOWAIT | __GFP_NOWARN) else {
                break;
            };
            self.ping(traffic, packet)?;
        }
        Ok(())
    }

    /// Takes what the card is done with, and gives it empty packets. In the interrupt handler.
    fn poll(&self, state: &mut State<'bound>) -> Result {
        while let Some(packet) = state.rx.take()? {
            // It is freed if there is no room, as if it had got lost on its way.
            let _ = state.received.push_within_capacity(packet);
        }
        while state.tx.take()?.is_some() {}
        state.rx.refill(self.packets);
        // CAST: Less than `ENTRIES`.
        self.bar.write32(state.rx.tail as u32, RX + TAIL);
        Ok(())
    }

    fn next_received(&self) -> Option<Packet<'bound>> {
        self.state.lock().received.remove(0).ok()
    }

    /// Looks at what was received, and sends the next ping in its place. Answers come in the order
    /// of the pings, but for those that are lost because the card has no empty packet.
    fn receive(&self, traffic: &mut Traffic, packet: Packet<'bound>) -> Result {
        let ping = Ping {
            id: u16::from_be(io_read!(packet, [build: HEADER.len() + 2])),
            sequence: u16::from_be(io_read!(packet, [build: HEADER.len() + 3])),
        };
        // CAST: As in `ping`.
        let lost = u32::from(ping.sequence.wrapping_sub(traffic.expected() as u16));

        if ping.id != self.id {
            return Ok(());
        }
        if lost >= AT_ONCE || !ping.is_answered_by(&packet)? {
            return Err(EIO);
        }
        traffic.lost = traffic.lost.wrapping_add(lost);
        traffic.answered = traffic.answered.wrapping_add(1);
        if traffic.answered % 2000 == 0 {
            let Traffic { answered, lost, .. } = *traffic;
            dev_info!(self.pdev, "{answered} pings are answered, lost={lost}\n");
        }
        self.ping(traffic, packet)?;
        self.ping_more(traffic)
    }
}

impl irq::ThreadedHandler for Nic<'_> {
    fn handle(&self) -> irq::ThreadedIrqReturn {
        // Reading acknowledges them.
        if self.bar.read32(ICR) == 0 {
            return irq::ThreadedIrqReturn::None;
        }
        if let Err(error) = self.poll(&mut self.state.lock()) {
            dev_err!(self.pdev, "the rings are in disorder: {error:?}\n");
        }
        irq::ThreadedIrqReturn::WakeThread
    }

    fn handle_threaded(&self) -> irq::IrqReturn {
        let mut traffic = self.traffic.lock();

        while let Some(packet) = self.next_received() {
            if let Err(error) = self.receive(&mut traffic, packet) {
                dev_err!(self.pdev, "a packet is not as it should be: {error:?}\n");
            }
        }
        irq::IrqReturn::Handled
    }
}

/// Stops the card, which does not touch memory any more.
fn stop(bar: &pci::Bar<'_, END>) {
    bar.write32(u32::MAX, IMC);
    bar.write32(0, RCTL);
    bar.write32(0, TCTL);
    // The writes have arrived when this has. The card then ends what it is at.
    bar.read32(STATUS);
    fsleep(Delta::from_millis(10));
    bar.write32(CTRL_RESET, CTRL);
    fsleep(Delta::from_millis(10));
}

/// How often the driver was bound.
static BOUND: Atomic<u32> = Atomic::new(0);

struct RingDriver;

struct DriverData<'bound> {
    irq: Pin<KBox<irq::ThreadedRegistration<'bound, Nic<'bound>>>>,
}

impl<'bound> DriverData<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        pdev.enable_device_mem()?;
        let bar = pdev.iomap_region_sized::<END>(0, c"rust_dmapool_ring")?;
        // Whoever had it last may have left it running.
        stop(&bar);
        pdev.set_master();
        let mask = DmaMask::try_new(module_parameters::mask_bits.value())?;
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe { pdev.dma_set_mask_and_coherent(mask)? };

        let rings = Pool::new_managed(pdev, c"rings", Geometry::of_with::<128, 0>())?.lend();
        let packets = Pool::new_managed(pdev, c"packets", Geometry::of())?.lend();
        let state = State {
            rx: Ring::new(rings)?,
            tx: Ring::new(rings)?,
            received: KVec::with_capacity(ENTRIES, GFP_KERNEL)?,
        };
        let nic = try_pin_init!(Nic {
            pdev,
            bar,
            packets,
            state <- new_spinlock_irq!(state),
            // CAST: It begins anew, but is not 0, and leaves the kind's bits alone.
            id: 0x100 | u16::from(BOUND.fetch_add(1, Relaxed) as u8),
            traffic <- new_mutex!(Traffic {
                sent: 0,
                answered: 0,
                lost: 0,
            }),
        }? Error);

        let intx = pci::IrqTypes::default().with(pci::IrqType::Intx);
        let vector = lend_vectors(pdev, 1, 1, intx)?.index(0)?.into();
        let name = c"rust_dmapool_ring";
        // SAFETY: The registration is kept in the driver's data, which is dropped.
        let irq = unsafe { irq::ThreadedRegistration::new(vector, irq::Flags::SHARED, name, nic) };
        let data = Self {
            irq: KBox::pin_init(irq, GFP_KERNEL)?,
        };
        data.irq.handler().start()?;
        Ok(data)
    }
}

impl Drop for DriverData<'_> {
    /// Before there is no handler any more, and no packets.
    fn drop(&mut self) {
        stop(&self.irq.handler().bar);
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <RingDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_id(pci::Vendor::INTEL, 0x100e), ())]
);

impl pci::Driver for RingDriver {
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
    type: RingDriver,
    name: "ring",
    authors: ["The rust_dmapool authors"],
    description: "A network card whose descriptor rings are refilled in its interrupt handler",
    license: "GPL v2",
    params: {
        mask_bits: u32 {
            default: 32,
            description: "Bits of a DMA address that the card can drive",
        },
    },
}
