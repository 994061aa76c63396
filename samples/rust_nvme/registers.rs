// SPDX-License-Identifier: GPL-2.0

//! The registers of a controller, and its doorbells.

use kernel::{
    device::{
        Bound,
        Device, //
    },
    io::{
        register,
        Io, //
    },
    pci,
    prelude::*,
    sync::Arc, //
};

/// Bytes of the registers, at least; the doorbells come after them.
const SIZE: usize = 0x1000;

/// The controller's registers, which are all in the first BAR.
///
/// Its alignment is known to be 4, so 64-bit registers are two of 32 bits here.
pub(crate) type Bar<'bound> = pci::Bar<'bound, SIZE>;

/// What all registers read as when the device is not there.
pub(crate) const GONE: u32 = u32::MAX;

register! {
    /// Controller capabilities, lower half.
    pub(crate) CAP(u32) @ 0x00 {
        /// Entries in a queue at most, less one.
        15:0 mqes;
        /// How long enabling and disabling may take, in units of 500 ms.
        31:24 to;
    }

    /// Controller capabilities, upper half.
    pub(crate) CAP_HIGH(u32) @ 0x04 {
        /// From one doorbell to the next are 2^(2 + this) bytes.
        3:0 dstrd;
        /// Whether there are commands for non-volatile memory.
        5:5 nvm;
        /// The smallest page is 2^(12 + this) bytes.
        19:16 mpsmin;
    }

    /// Controller configuration.
    pub(crate) CC(u32) @ 0x14 {
        /// Enable.
        0:0 en;
        /// Why the controller is to be shut down, if it is.
        15:14 shn;
        /// An entry of a submission queue has 2^this bytes.
        19:16 iosqes;
        /// An entry of a completion queue has 2^this bytes.
        23:20 iocqes;
    }

    /// Controller status.
    pub(crate) CSTS(u32) @ 0x1c {
        /// Ready.
        0:0 rdy;
        /// Fatal error.
        1:1 cfs;
        /// How far the shutdown is.
        3:2 shst;
    }

    /// Attributes of the admin queues.
    pub(crate) AQA(u32) @ 0x24 {
        /// Entries in the submission queue, less one.
        11:0 asqs;
        /// Entries in the completion queue, less one.
        27:16 acqs;
    }

    /// Address of the admin submission queue, lower half.
    pub(crate) ASQ(u32) @ 0x28 {
        31:0 address;
    }

    /// Address of the admin submission queue, upper half.
    pub(crate) ASQ_HIGH(u32) @ 0x2c {
        31:0 address;
    }

    /// Address of the admin completion queue, lower half.
    pub(crate) ACQ(u32) @ 0x30 {
        31:0 address;
    }

    /// Address of the admin completion queue, upper half.
    pub(crate) ACQ_HIGH(u32) @ 0x34 {
        31:0 address;
    }
}

/// Where a queue's new tail or head is written to.
pub(crate) struct Doorbell<'bound> {
    bar: Arc<Bar<'bound>>,
    offset: usize,
}

impl<'bound> Doorbell<'bound> {
    /// The doorbell of the submission queue `id`.
    pub(crate) fn of_submission(
        dev: &Device<Bound>,
        bar: &Arc<Bar<'bound>>,
        id: u16,
    ) -> Result<Self> {
        Self::new(dev, bar, usize::from(id).wrapping_mul(2))
    }

    /// The doorbell of the completion queue `id`.
    pub(crate) fn of_completion(
        dev: &Device<Bound>,
        bar: &Arc<Bar<'bound>>,
        id: u16,
    ) -> Result<Self> {
        Self::new(dev, bar, usize::from(id).wrapping_mul(2).wrapping_add(1))
    }

    /// Doorbell `index`, which is at most 2^17.
    fn new(dev: &Device<Bound>, bar: &Arc<Bar<'bound>>, index: usize) -> Result<Self> {
        let stride = 4_usize << bar.read(CAP_HIGH).dstrd().get();
        let offset = index.wrapping_mul(stride).wrapping_add(SIZE);

        // So ringing it cannot fail.
        if offset.wrapping_add(size_of::<u32>()) > bar.size() {
            dev_err!(
                dev,
                "doorbell {index} would be at {offset:#x}, beyond the registers' {:#x}\n",
                bar.size()
            );
            return Err(ENODEV);
        }
        Ok(Self {
            bar: bar.clone(),
            offset,
        })
    }

    /// Tells the controller a queue's new tail or head.
    ///
    /// A write to the BAR comes after all earlier writes to coherent memory: as in C, `writel()`
    /// is ordered so. Whatever the driver has put into the queue, the controller finds there.
    #[inline]
    pub(crate) fn ring(&self, value: u16) {
        let rung = self.bar.try_write32(value.into(), self.offset);

        debug_assert!(rung.is_ok());
    }
}
