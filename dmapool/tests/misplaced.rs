// SPDX-License-Identifier: GPL-2.0

//! Memory of the system that is not where a pool's blocks may be: it is not handed out, and is
//! given back as soon as somebody may.
//!
//! The device sees all memory shifted, as one does whose bus is wired so. Then its pages are not
//! aligned to their size.

use super::super::{
    Block,
    Geometry,
    Pool, //
};
use super::{
    super::allocator::memory::pages_held,
    support::*,
    thread::Thread, //
};
use core::ptr;
use kernel::{
    bindings,
    dma::Coherent,
    interrupt::local_interrupt_disable,
    page::PAGE_SIZE,
    prelude::*, //
};

/// C's `struct bus_dma_region`, of which the bindings know the name only.
#[repr(C)]
struct BusDmaRegion {
    cpu_start: bindings::phys_addr_t,
    dma_start: bindings::dma_addr_t,
    size: u64,
}

impl BusDmaRegion {
    const fn new(dma_start: u64, size: u64) -> Self {
        Self {
            cpu_start: 0,
            dma_start,
            size,
        }
    }
}

/// Runs `f` while the device finds memory so many bytes further up than it is. What is allocated
/// meanwhile must be freed meanwhile.
fn shifted<R>(device: &TestDevice, bytes: usize, f: impl FnOnce() -> R) -> R {
    let dev: *mut bindings::device = ptr::from_ref(device.bound()).cast_mut().cast();
    let mut map = [
        BusDmaRegion::new(bytes as u64, u64::MAX),
        BusDmaRegion::new(0, 0),
    ];

    // SAFETY: The device is there and does no DMA, and the map ends with an empty region.
    unsafe { (*dev).dma_range_map = map.as_mut_ptr().cast() };
    let result = f();
    // SAFETY: As above.
    unsafe { (*dev).dma_range_map = ptr::null_mut() };
    result
}

fn new_pool(device: &TestDevice, [size, align, boundary]: [usize; 3]) -> Result<Pool<'_>> {
    let geometry = Geometry::check(size, align, boundary)?;

    Pool::new(device.bound(), c"misplaced", geometry)
}

/// Whether a block has what was asked for.
fn is_well_placed(block: &Block<'_>, [size, align, boundary]: [usize; 3]) -> bool {
    let first = block.dma_address() as usize;
    let last = first + size - 1;

    first % align.max(1) == 0 && (boundary == 0 || first / boundary == last / boundary)
}

/// The geometries, by how many bytes memory is shifted, and whether it can be used then.
const CASES: [([usize; 3], usize, bool); 9] = [
    ([2 * PAGE_SIZE, 2 * PAGE_SIZE, 0], PAGE_SIZE, false),
    ([2 * PAGE_SIZE, 2 * PAGE_SIZE, 0], 4 * PAGE_SIZE, true),
    ([2 * PAGE_SIZE, PAGE_SIZE, 0], PAGE_SIZE, true),
    ([64, 64, 0], 32, false),
    ([64, 64, 0], 64, true),
    // A boundary within the page, and one beyond.
    ([64, 64, PAGE_SIZE / 4], 64, false),
    ([96, 32, PAGE_SIZE], PAGE_SIZE, true),
    ([3 * PAGE_SIZE, 0, 4 * PAGE_SIZE], PAGE_SIZE, true),
    ([3 * PAGE_SIZE, 0, 4 * PAGE_SIZE], 2 * PAGE_SIZE, false),
];

/// Has memory be obtained that is misplaced, where it cannot be given back; and then, if
/// `is_replaced`, where it can.
fn keep_and_replace(device: &TestDevice, is_replaced: bool) -> Result {
    let pool = new_pool(device, [2 * PAGE_SIZE, 2 * PAGE_SIZE, 0])?;
    let held = pages_held();
    // On a real-time kernel nothing is obtained there.
    let kept = if cfg!(CONFIG_PREEMPT_RT) { 0 } else { 1 };

    let disabled = local_interrupt_disable();
    for _ in 0..5 {
        ensure!(pool.alloc(GFP_ATOMIC).err() == Some(ENOMEM));
    }
    drop(disabled);
    ensure!(pages_held() - held == kept);
    ensure!(pool.shrink() == 0);
    if is_replaced {
        ensure!(pool.alloc(GFP_KERNEL).err() == Some(ENOMEM));
        ensure!(pages_held() == held);
    }
    ensure!(pool.statistics().pages == 0);
    Ok(())
}

#[kunit_tests(rust_dmapool_misplaced)]
mod suite {
    use super::*;

    #[test]
    fn refused() -> Result {
        let device = TestDevice::new(c"dmapool-misplaced")?;
        let held = pages_held();

        for (asked, bytes, usable) in CASES {
            shifted(&device, bytes, || {
                let pool = new_pool(&device, asked)?;
                let mut blocks = [const { None }; 2];

                for flags in [GFP_KERNEL, GFP_ATOMIC, GFP_KERNEL] {
                    match pool.alloc(flags) {
                        Ok(block) => ensure!(usable && is_well_placed(&block, asked)),
                        Err(err) => ensure!(!usable && err == ENOMEM),
                    }
                }
                ensure!(pool.prefill(1, GFP_KERNEL).is_ok() == usable);
                ensure!(pool.alloc_bulk(&mut blocks, GFP_KERNEL).is_ok() == usable);
                ensure!(usable || pool.statistics().pages == 0);
                ensure!(usable || pages_held() == held);
                Ok(())
            })
            .inspect_err(|_| pr_err!("geometry {asked:?}, {bytes} bytes further up\n"))?;
            assert_eq!(pages_held(), held);
        }
        Ok(())
    }

    /// Where nobody may give it back, what is misplaced waits for somebody who may, and there is no
    /// more of it with each attempt.
    #[test]
    fn kept_without_interrupts() -> Result {
        let device = TestDevice::new(c"dmapool-misplaced-irq")?;
        let held = pages_held();

        for is_replaced in [true, false] {
            // On one CPU, which comes to the same page each time.
            let thread = Thread::spawn(0, || {
                shifted(&device, PAGE_SIZE, || {
                    keep_and_replace(&device, is_replaced)
                })
            })?;

            thread.join()?;
            assert_eq!(pages_held(), held);
        }
        Ok(())
    }

    /// Some pages of a slab are in the wrong place and others are not; and what was kept of no use
    /// is in nobody's way.
    #[test]
    fn some_of_a_slab() -> Result {
        let device = TestDevice::new(c"dmapool-misplaced-some")?;
        let other = TestDevice::new(c"dmapool-misplaced-other")?;
        let asked = [2 * PAGE_SIZE, 0, 4 * PAGE_SIZE];
        let held = pages_held();

        shifted(&device, PAGE_SIZE, || {
            let pool = new_pool(&device, asked)?;
            let (mut blocks, mut taken) = (KVec::new(), KVec::new());
            // More than two slabs have pages.
            let mut left = 40;

            for attempt in 0..1000 {
                let may_wait = attempt % 3 != 0;
                let flags = if may_wait { GFP_KERNEL } else { GFP_ATOMIC };

                match pool.alloc(flags) {
                    Ok(block) => {
                        ensure!(is_well_placed(&block, asked));
                        blocks.push(Stamped::new(block, attempt), GFP_KERNEL)?;
                        left -= i32::from(may_wait);
                    }
                    Err(_) if !may_wait => (),
                    // The next attempt is to get other memory.
                    Err(_) => {
                        let size = pool.geometry().page_size();
                        let memory = Coherent::<u8>::zeroed_slice(other.bound(), size, GFP_KERNEL)?;

                        taken.push(memory, GFP_KERNEL)?;
                    }
                }
                if left == 0 {
                    ensure!(blocks.iter().all(Stamped::is_intact));
                    ensure!(holds(&pool, blocks.len()));
                    ensure!(!taken.is_empty());
                    return Ok(());
                }
            }
            pr_err!("{} blocks\n", blocks.len());
            Err(ENOMEM)
        })?;
        assert_eq!(pages_held(), held);
        Ok(())
    }
}
