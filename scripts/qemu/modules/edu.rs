// SPDX-License-Identifier: GPL-2.0

//! QEMU's `edu`, for the drivers here: its registers, and how it transfers.

use kernel::{
    io::Io,
    pci, //
};

/// Bytes of the registers.
pub(crate) const END: usize = 0xa0;

const DMA_SRC: usize = 0x80;
const DMA_DST: usize = 0x88;
const DMA_COUNT: usize = 0x90;
const DMA_CMD: usize = 0x98;
const CMD_START: u32 = 1 << 0;
const CMD_FROM_DEVICE: u32 = 1 << 1;

/// Where the device's own memory lies in its address space.
pub(crate) const BUFFER: u32 = 0x4_0000;

pub(crate) type Bar<'a> = pci::Bar<'a, END>;

/// Has the device copy `count` bytes between its own memory, at `device`, and `ram`.
pub(crate) fn start(bar: &Bar<'_>, device: u32, ram: u32, count: u32, from_device: bool) {
    let (src, dst, direction) = if from_device {
        (device, ram, CMD_FROM_DEVICE)
    } else {
        (ram, device, 0)
    };

    bar.write32(src, DMA_SRC);
    bar.write32(dst, DMA_DST);
    bar.write32(count, DMA_COUNT);
    bar.write32(CMD_START | direction, DMA_CMD);
}

/// Whether it still does.
pub(crate) fn is_busy(bar: &Bar<'_>) -> bool {
    bar.read32(DMA_CMD) & CMD_START != 0
}
