// SPDX-License-Identifier: GPL-2.0

//! What the suites share: a device, random numbers, stamps in blocks.
//!
//! The checks return [`Result`], because `assert!` works in the test functions only.

use super::super::{
    allocator::policy::parameters,
    Block,
    Geometry,
    Managed,
    Options,
    Payload,
    Pool, //
};
use core::{
    ops::RangeInclusive,
    ptr, //
};
use kernel::{
    alloc::Flags,
    bindings,
    cpu::nr_cpu_ids,
    device::{
        Bound,
        Core,
        Device, //
    },
    dma::DmaAddress,
    faux,
    prelude::*, //
};

/// Returns [`EINVAL`] with a message in the log unless the condition holds.
macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            pr_err!(
                "{}:{}: not so: {}\n",
                file!(),
                line!(),
                stringify!($condition)
            );
            return Err(EINVAL);
        }
    };
}
pub(super) use ensure;

/// Whether a block that was freed last is the next one to be allocated.
pub(super) fn reuses_at_once() -> bool {
    parameters().quarantine == 0
}

/// A device that can do DMA, bound to the driver of the faux bus until it is dropped.
pub(super) struct TestDevice(faux::Registration);

impl TestDevice {
    pub(super) fn new(name: &CStr) -> Result<Self> {
        let device = Self(faux::Registration::new(name, None)?);

        device.set_mask(u64::MAX);
        Ok(device)
    }

    pub(super) fn bound(&self) -> &Device<Bound> {
        self.0.as_ref().as_ref()
    }

    /// As a driver's callbacks have it.
    pub(super) fn core(&self) -> &Device<Core<'_>> {
        // SAFETY: It is the same device. The module, whose code is to stay, does.
        unsafe { &*ptr::from_ref(self.bound()).cast() }
    }

    /// Has driver data, as if its driver's were not dropped yet.
    pub(super) fn set_data(&self, data: *mut c_void) {
        let dev: *mut bindings::device = ptr::from_ref(self.bound()).cast_mut().cast();

        // SAFETY: The device is there, and nobody else uses its data.
        unsafe { (*dev).driver_data = data };
    }

    fn set_mask(&self, mask: u64) {
        set_mask(self.bound(), mask);
    }

    /// Runs `f` while the device cannot reach any memory, so that no pool can grow.
    pub(super) fn starved<R>(&self, f: impl FnOnce() -> R) -> R {
        self.set_mask(0xfff);
        let result = f();
        self.set_mask(u64::MAX);
        result
    }
}

/// A pool that devres of the device destroys, when the device is dropped.
pub(super) fn managed_pool<'a, T: Payload + ?Sized>(
    device: &'a TestDevice,
    name: &CStr,
    geometry: Geometry<T>,
    options: Options,
) -> Result<Managed<'a, T>> {
    // SAFETY: Dropping the device is what releases devres, and ends all that borrows before.
    unsafe { Pool::managed_by(device.bound(), device.bound(), name, geometry, options) }
}

/// Says which addresses a device can reach.
pub(super) fn set_mask(device: &Device<Bound>, mask: u64) {
    let dev: *mut bindings::device = ptr::from_ref(device).cast_mut().cast();

    // SAFETY: The device is valid, and the tests do no DMA while they set its mask.
    unsafe {
        (*dev).coherent_dma_mask = mask;
        (*dev).dma_mask = &raw mut (*dev).coherent_dma_mask;
    }
}

/// Numbers that look random and are the same in each run; xorshift64*.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not zero.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        // Without a panic that objtool does not know.
        ((self.next() >> 32) as usize)
            .checked_rem(limit)
            .unwrap_or(0)
    }
}

/// Takes an element at random, if there is any.
pub(super) fn pop_random<T>(from: &mut KVec<T>, random: &mut Random) -> Option<T> {
    let last = from.len().checked_sub(1)?;
    let one = random.below(from.len());

    from.swap(one, last);
    from.pop()
}

/// A block that holds a number known to nobody else, which shows if it ever has a second owner.
///
/// The number stands in as many bytes as the block has, up to eight.
pub(super) struct Stamped<'pool> {
    block: Block<'pool>,
    stamp: u64,
}

impl<'pool> Stamped<'pool> {
    pub(super) fn new(block: Block<'pool>, stamp: u64) -> Self {
        let stamped = Self { block, stamp };
        let (first, bytes) = stamped.bytes();

        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: The block has that many bytes.
            unsafe { first.add(i).write_volatile(*byte) };
        }
        stamped
    }

    /// A block that was stamped before.
    pub(super) fn of(block: Block<'pool>, stamp: u64) -> Self {
        Self { block, stamp }
    }

    fn bytes(&self) -> (*mut u8, KStamp) {
        let len = self.block.as_ptr().len().min(size_of::<u64>());

        (
            self.block.as_ptr().cast(),
            KStamp(self.stamp.to_le_bytes(), len),
        )
    }

    pub(super) fn is_intact(&self) -> bool {
        let (first, bytes) = self.bytes();

        bytes
            .iter()
            .enumerate()
            // SAFETY: The block has that many bytes.
            .all(|(i, byte)| unsafe { first.add(i).read_volatile() } == *byte)
    }

    pub(super) fn dma_address(&self) -> DmaAddress {
        self.block.dma_address()
    }

    pub(super) fn into_block(self) -> Block<'pool> {
        self.block
    }
}

/// The leading bytes of a stamp.
struct KStamp([u8; 8], usize);

impl KStamp {
    fn iter(&self) -> core::slice::Iter<'_, u8> {
        self.0.get(..self.1).unwrap_or(&[]).iter()
    }
}

/// Whether all bytes of the block have this value.
pub(super) fn is_filled_with(block: &Block<'_>, value: u8) -> bool {
    let first = block.as_ptr().cast::<u8>();

    // SAFETY: The block has that many bytes.
    (0..block.as_ptr().len()).all(|i| unsafe { first.add(i).read_volatile() } == value)
}

pub(super) fn fill(block: &Block<'_>, value: u8) {
    // SAFETY: The block has that many bytes.
    unsafe {
        block
            .as_ptr()
            .cast::<u8>()
            .write_bytes(value, block.as_ptr().len())
    };
}

/// Whether the pool holds exactly `live` blocks, and all others can be found. Nobody may use it
/// meanwhile.
pub(super) fn holds(pool: &Pool<'_>, live: usize) -> bool {
    pool.instance().raw.unpublished_slabs() == 0 && pool.statistics().live == live as u64
}

/// Allocates a block; or none if there is none, and the kernel is a real-time one, on which a pool
/// does not grow in interrupts and with interrupts disabled.
pub(super) fn alloc_if_possible<'a>(pool: &'a Pool<'_>, flags: Flags) -> Result<Option<Block<'a>>> {
    match pool.alloc(flags) {
        Err(ENOMEM) if cfg!(CONFIG_PREEMPT_RT) => Ok(None),
        result => result.map(Some),
    }
}

/// How many pages a pool may have when `needed` would do: half as many again, and some for each CPU
/// that a thread happens to run on.
pub(super) fn may_have(needed: usize) -> RangeInclusive<usize> {
    needed..=needed + needed / 2 + 4 * (nr_cpu_ids() as usize)
}
