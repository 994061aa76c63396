// SPDX-License-Identifier: GPL-2.0

//! A character device whose files hold blocks, and whose work items complete what was written: both
//! may be there when QEMU's `edu` is not any more.
//!
//! What is written, up to 256 bytes at once, goes to the device and comes back into another block,
//! by a work item. What is read is the oldest of these blocks, which is freed then.

use kernel::{
    device::Core,
    dma::{
        Device,
        DmaMask, //
    },
    driver,
    fs::{
        File,
        Kiocb, //
    },
    io::Io,
    iov::{
        IovIterDest,
        IovIterSource, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    new_condvar,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        global_lock,
        Arc,
        CondVar,
        Mutex, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue, //
};
use rust_dmapool::{
    Geometry,
    HeldBlock,
    Options,
    Pool,
    RevocablePool,
    WithState, //
};

mod edu;

const DMA_BITS: u32 = 28;

const SIZE: usize = 256;

/// What is written at once, and beside it how much that is.
type Data = WithState<[u8; SIZE], usize>;

/// The device, for whoever has it open, bound or not.
#[pin_data]
struct Edu {
    pool: Arc<RevocablePool<Data>>,
    bar: pci::DevresBar<{ edu::END }>,
    /// It does one thing at a time.
    #[pin]
    engine: Mutex<()>,
}

global_lock! {
    // SAFETY: `init` of the module initializes it before anything else.
    unsafe(uninit) static BOUND: Mutex<Option<Arc<Edu>>> = None;
}

impl Edu {
    /// Has the device copy between its buffer and `block`. The device stays bound meanwhile,
    /// because all of it happens within an access to the block.
    fn transfer(&self, block: &HeldBlock<Data>, from_device: bool) -> Result {
        block
            .with(|block| {
                let bar = || self.bar.try_access().ok_or(ENXIO);
                // CAST: There is a mask of `DMA_BITS`.
                let ram = block.dma_address() as u32;

                edu::start(&*bar()?, edu::BUFFER, ram, SIZE as u32, from_device);
                while edu::is_busy(&*bar()?) {
                    fsleep(Delta::from_millis(1));
                }
                Ok(())
            })
            .unwrap_or(Err(ENODEV))
    }

    /// To the device and back, by whoever has its turn.
    fn round_trip(&self, data: HeldBlock<Data>) -> Result<HeldBlock<Data>> {
        let mut copy = self.pool.zalloc(GFP_KERNEL)?;
        let len = data.with(|block| *block.state()).ok_or(ENODEV)?;

        copy.with_mut(|block| *block.state_mut() = len)
            .ok_or(ENODEV)?;
        self.transfer(&data, false)?;
        self.transfer(&copy, true)?;
        Ok(copy)
    }
}

/// What a file has, the oldest first.
struct State {
    waiting: KVec<HeldBlock<Data>>,
    done: KVec<Result<HeldBlock<Data>>>,
    pending: usize,
}

#[pin_data]
struct Files {
    edu: Arc<Edu>,
    #[pin]
    state: Mutex<State>,
    #[pin]
    changed: CondVar,
}

impl Files {
    /// What each work item does: with the oldest of what was written, whichever comes first.
    fn step(&self) {
        let _turn = self.edu.engine.lock();
        let oldest = self.state.lock().waiting.remove(0);

        self.complete(
            oldest
                .map_err(|_| ENODATA)
                .and_then(|data| self.edu.round_trip(data)),
        );
    }

    fn complete(&self, result: Result<HeldBlock<Data>>) {
        let mut state = self.state.lock();

        state.pending -= 1;
        // If there is no memory, it is lost for the reader, but not for the pool.
        let _ = state.done.push(result, GFP_KERNEL);
        self.changed.notify_all();
    }

    fn oldest(&self) -> Result<HeldBlock<Data>> {
        let mut state = self.state.lock();

        while state.done.is_empty() {
            if state.pending == 0 {
                return Err(ENODATA);
            }
            if self.changed.wait_interruptible(&mut state) {
                return Err(EINTR);
            }
        }
        state.done.remove(0).map_err(|_| ENODATA)?
    }
}

#[vtable]
impl MiscDevice for Files {
    type Ptr = Arc<Self>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Arc<Self>> {
        let edu = BOUND.lock().clone().ok_or(ENODEV)?;

        Arc::pin_init(
            pin_init!(Files {
                edu,
                state <- new_mutex!(State {
                    waiting: KVec::new(),
                    done: KVec::new(),
                    pending: 0,
                }),
                changed <- new_condvar!(),
            }),
            GFP_KERNEL,
        )
    }

    fn write_iter(kiocb: Kiocb<'_, Arc<Self>>, iov: &mut IovIterSource<'_>) -> Result<usize> {
        let files: Arc<Self> = kiocb.file().into();
        let mut bytes = [0; SIZE];
        let len = iov.copy_from_iter(&mut bytes);
        let mut data = files.edu.pool.alloc(GFP_KERNEL)?;

        data.with_mut(|block| {
            block.copy_write(bytes);
            *block.state_mut() = len;
        })
        .ok_or(ENODEV)?;
        {
            let mut state = files.state.lock();

            state.waiting.push(data, GFP_KERNEL)?;
            state.pending += 1;
        }
        let later = files.clone();
        let spawned = workqueue::system().try_spawn(GFP_KERNEL, move || later.step());
        if spawned.is_err() {
            // One has nobody who would come for it.
            drop(files.state.lock().waiting.pop());
            files.complete(Err(ENOMEM));
        }
        Ok(len)
    }

    fn read_iter(kiocb: Kiocb<'_, Arc<Self>>, iov: &mut IovIterDest<'_>) -> Result<usize> {
        let block = kiocb.file().oldest()?;
        let (bytes, len) = block
            .with(|block| (block.copy_read(), *block.state()))
            .ok_or(ENODEV)?;

        Ok(iov.copy_to_iter(bytes.get(..len).ok_or(EINVAL)?))
    }
}

struct EduDriver;

struct DriverData;

impl DriverData {
    fn new(pdev: &pci::Device<Core<'_>>) -> Result<Self> {
        pdev.enable_device_mem()?;
        pdev.set_master();
        // SAFETY: There are no concurrent calls to DMA allocation and mapping primitives.
        unsafe { pdev.dma_set_mask_and_coherent(DmaMask::try_new(DMA_BITS)?)? };

        let bar = pdev
            .iomap_region_sized::<{ edu::END }>(0, c"rust_dmapool_files")?
            .into_devres()?;
        // After the registers, so that these go later.
        let pool = Pool::new_revocable(pdev.as_ref(), c"files", Geometry::of(), Options::new())?;
        let edu = Arc::pin_init(
            pin_init!(Edu {
                pool,
                bar,
                engine <- new_mutex!(()),
            }),
            GFP_KERNEL,
        )?;

        *BOUND.lock() = Some(edu);
        Ok(Self)
    }
}

impl Drop for DriverData {
    fn drop(&mut self) {
        *BOUND.lock() = None;
    }
}

kernel::pci_device_table!(
    PCI_TABLE,
    <EduDriver as pci::Driver>::IdInfo,
    [(pci::DeviceId::from_class(0x00ff00, 0xffff00), ())]
);

impl pci::Driver for EduDriver {
    type IdInfo = ();
    type Data<'bound> = DriverData;

    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: Option<&'bound Self::IdInfo>,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        DriverData::new(pdev)
    }
}

#[pin_data]
struct Module {
    #[pin]
    driver: driver::Registration<pci::Adapter<EduDriver>>,
    #[pin]
    files: MiscDeviceRegistration<Files>,
}

impl kernel::InPlaceModule for Module {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // SAFETY: Once, and before anybody can use it.
        unsafe { BOUND.init() };
        try_pin_init!(Self {
            driver <- driver::Registration::new(c"rust_dmapool_files", module),
            files <- MiscDeviceRegistration::register(MiscDeviceOptions {
                name: c"rust_dmapool_files",
            }),
        })
    }
}

module! {
    type: Module,
    name: "files",
    authors: ["The rust_dmapool authors"],
    description: "Files and work items that outlive the device",
    license: "GPL v2",
}
