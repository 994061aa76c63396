// SPDX-License-Identifier: GPL-2.0

//! Geometry: what is accepted, what is refused, and where the blocks lie.

use super::super::{
    Geometry,
    InvalidGeometry,
    Pool, //
    RawGeometry,
};
use super::{
    support::*,
    thread::Thread, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

const MAX: usize = i32::MAX as usize;

/// Size, alignment and boundary asked for; stride, page size and blocks per page to get.
const VALID: [([usize; 3], [usize; 3]); 18] = [
    ([1, 0, 0], [1, PAGE_SIZE, PAGE_SIZE]),
    ([1, 1, 1], [1, PAGE_SIZE, PAGE_SIZE]),
    ([8, 8, 0], [8, PAGE_SIZE, PAGE_SIZE / 8]),
    ([3, 2, 0], [4, PAGE_SIZE, PAGE_SIZE / 4]),
    ([64, 64, 0], [64, PAGE_SIZE, PAGE_SIZE / 64]),
    ([64, 64, 64], [64, PAGE_SIZE, PAGE_SIZE / 64]),
    ([68, 32, 4096], [96, PAGE_SIZE, PAGE_SIZE / 4096 * 42]),
    ([96, 32, 128], [96, PAGE_SIZE, PAGE_SIZE / 128]),
    ([96, 32, 256], [96, PAGE_SIZE, PAGE_SIZE / 256 * 2]),
    ([24, 8, 64], [24, PAGE_SIZE, PAGE_SIZE / 64 * 2]),
    ([64, 1024, 0], [1024, PAGE_SIZE, PAGE_SIZE / 1024]),
    ([PAGE_SIZE, 1, 0], [PAGE_SIZE, PAGE_SIZE, 1]),
    ([PAGE_SIZE / 2 + 1, 1, 0], [PAGE_SIZE / 2 + 1, PAGE_SIZE, 1]),
    ([PAGE_SIZE + 1, 1, 0], [PAGE_SIZE + 1, 2 * PAGE_SIZE, 1]),
    ([1, 4 * PAGE_SIZE, 0], [4 * PAGE_SIZE, 4 * PAGE_SIZE, 1]),
    (
        [3 * PAGE_SIZE, 1, 4 * PAGE_SIZE],
        [3 * PAGE_SIZE, 3 * PAGE_SIZE, 1],
    ),
    ([16, 16, 1 << 40], [16, PAGE_SIZE, PAGE_SIZE / 16]),
    ([MAX, 1, 0], [MAX, MAX + 1, 1]),
];

const INVALID: [([usize; 3], InvalidGeometry); 14] = [
    ([0, 1, 0], InvalidGeometry::Size(0)),
    ([0, 0, 0], InvalidGeometry::Size(0)),
    ([MAX + 1, 1, 0], InvalidGeometry::Size(MAX + 1)),
    ([usize::MAX, 1, 0], InvalidGeometry::Size(usize::MAX)),
    // These fit, but what they are rounded up to does not.
    ([MAX, 2, 0], InvalidGeometry::Size(MAX)),
    ([1, MAX + 1, 0], InvalidGeometry::Size(1)),
    ([1, 1 << 63, 0], InvalidGeometry::Size(1)),
    ([64, 3, 0], InvalidGeometry::Align(3)),
    ([64, 48, 0], InvalidGeometry::Align(48)),
    ([64, usize::MAX, 0], InvalidGeometry::Align(usize::MAX)),
    (
        [64, 64, 96],
        InvalidGeometry::Boundary {
            boundary: 96,
            stride: 64,
        },
    ),
    (
        [64, 64, usize::MAX],
        InvalidGeometry::Boundary {
            boundary: usize::MAX,
            stride: 64,
        },
    ),
    (
        [64, 64, 32],
        InvalidGeometry::Boundary {
            boundary: 32,
            stride: 64,
        },
    ),
    // The boundary holds the size, but not the size rounded up.
    (
        [65, 64, 64],
        InvalidGeometry::Boundary {
            boundary: 64,
            stride: 128,
        },
    ),
];

/// Where C's `pool_initialise_page()` puts blocks: one after the other, skipping to the boundary
/// where the next one would cross it.
fn expected_offsets(geometry: &RawGeometry, boundary: usize) -> impl Iterator<Item = usize> {
    let (stride, end) = (geometry.stride(), geometry.page_size());
    let boundary = if boundary == 0 {
        end
    } else {
        boundary.min(end)
    };
    let mut offset = 0usize;

    core::iter::from_fn(move || {
        if offset.checked_rem(boundary).unwrap_or(0) + stride > boundary {
            offset = offset.next_multiple_of(boundary);
        }
        let this = offset;
        offset += stride;
        (this + stride <= end).then_some(this)
    })
}

/// A geometry to ask for: mostly of less than a page, with all kinds of boundaries.
pub(super) fn random_geometry(random: &mut Random) -> [usize; 3] {
    let magnitude = 1 + random.below(14);
    let size = 1 + random.below(1 << magnitude);
    let align = [0, 1 << random.below(13)][random.below(2)];
    let rounded = size.next_multiple_of(align.max(1));
    let boundary = rounded.next_power_of_two() << random.below(4);

    [size, align, [0, boundary][random.below(2)]]
}

/// Allocates all blocks of the first page of a pool, and checks where they are.
fn check_page(device: &TestDevice, [size, align, boundary]: [usize; 3]) -> Result {
    let geometry = Geometry::check(size, align, boundary)?;
    let pool = Pool::<[u8]>::new(device.bound(), c"random geometry", geometry)?;
    let align = align.max(1);
    let rounded = size.next_multiple_of(align);
    let mut blocks = KVec::new();

    ensure!(geometry.size() == size && geometry.stride() == rounded);
    for offset in expected_offsets(&geometry, boundary) {
        let block = pool.alloc(GFP_KERNEL)?;
        let (cpu, dma) = (block.as_ptr().cast::<u8>() as usize, block.dma_address());

        ensure!(block.as_ptr().len() == size);
        blocks.push((cpu, dma, block), GFP_KERNEL)?;
        let (cpu_base, dma_base, _) = &blocks[0];
        // Blocks of a new page come in order, so this also says that none overlap.
        ensure!(dma - dma_base == offset as u64);
        ensure!(cpu - cpu_base == offset);
        ensure!(offset + rounded <= geometry.page_size());
        ensure!(dma % align as u64 == 0);
        if boundary != 0 {
            let boundary = boundary as u64;
            ensure!(dma / boundary == (dma + rounded as u64 - 1) / boundary);
        }
    }
    ensure!(blocks.len() == geometry.blocks_per_page() as usize);
    ensure!(pool.statistics().pages == 1);
    // One more needs another page.
    let _next = pool.alloc(GFP_KERNEL)?;
    ensure!(pool.statistics().pages == 2);
    Ok(())
}

#[kunit_tests(rust_dmapool_geometry)]
mod suite {
    use super::*;

    #[test]
    fn valid() -> Result {
        for ([size, align, boundary], expected) in VALID {
            let geometry = RawGeometry::check(size, align, boundary)?;

            assert_eq!(geometry.size(), size);
            assert_eq!(geometry.stride(), expected[0]);
            assert_eq!(geometry.align(), align.max(1));
            assert_eq!(geometry.page_size(), expected[1]);
            assert_eq!(geometry.blocks_per_page() as usize, expected[2]);
        }
        Ok(())
    }

    #[test]
    fn invalid() -> Result {
        let device = TestDevice::new(c"dmapool-geometry")?;

        for ([size, align, boundary], expected) in INVALID {
            assert_eq!(RawGeometry::check(size, align, boundary), Err(expected));
            assert_eq!(
                Geometry::<[u8]>::try_new(device.bound(), size, align, boundary).err(),
                Some(EINVAL)
            );
        }
        Ok(())
    }

    #[test]
    fn constant() {
        const GEOMETRY: Geometry = Geometry::new::<68, 32, 4096>();

        assert_eq!(Ok(*GEOMETRY), RawGeometry::check(68, 32, 4096));
        assert_eq!(Ok(*Geometry::<u64>::of()), RawGeometry::check(8, 8, 0));
        assert_eq!(
            Ok(*Geometry::<[u32; 3]>::of_with::<32, 4096>()),
            RawGeometry::check(12, 32, 4096)
        );
        // Not less than the type needs.
        assert_eq!(Geometry::<u64>::of_with::<4, 0>().align(), 8);
    }

    #[test]
    fn offsets() -> Result {
        for ([size, align, boundary], _) in VALID {
            let geometry = RawGeometry::check(size, align, boundary)?;

            for (index, offset) in expected_offsets(&geometry, boundary).enumerate() {
                assert_eq!(geometry.offset_of(index as u32) as usize, offset);
            }
        }
        Ok(())
    }

    #[test]
    fn indices() {
        let mut random = Random::new(2);

        for _ in 0..1_000 {
            let [size, align, boundary] = random_geometry(&mut random);
            let Ok(geometry) = RawGeometry::check(size, align, boundary) else {
                continue;
            };
            let blocks = u64::from(geometry.blocks_per_page());

            for (index, offset) in expected_offsets(&geometry, boundary).enumerate() {
                assert_eq!(geometry.index_at(offset as u64), Some(index as u32));
            }
            for _ in 0..100 {
                // Also what is below the page, and how far: it wraps.
                let offset = (random.below(1 << 20) as u64).wrapping_sub(1 << 19);
                let expected = expected_offsets(&geometry, boundary)
                    .take(blocks as usize)
                    .position(|begin| begin as u64 == offset);

                assert_eq!(
                    geometry.index_at(offset),
                    expected.map(|index| index as u32)
                );
            }
        }
    }

    /// A place is good if all blocks of the page can be there; and one that is aligned to the
    /// page's size always is.
    #[test]
    fn places() {
        let mut random = Random::new(3);

        for _ in 0..1_000 {
            let [size, align, boundary] = random_geometry(&mut random);
            let Ok(geometry) = RawGeometry::check(size, align, boundary) else {
                continue;
            };
            let is_good = |at: usize| {
                geometry.is_aligned(at, at as u64) && geometry.keeps_to_boundary(at as u64)
            };
            let whole = geometry.page_size().next_power_of_two();

            for _ in 0..20 {
                let aligned = random.below(1 << 20) * whole;
                let anywhere = random.below(1 << 20) * (PAGE_SIZE >> random.below(13));

                assert!(is_good(aligned));
                for offset in expected_offsets(&geometry, boundary) {
                    let (first, last) = (anywhere + offset, anywhere + offset + size - 1);
                    let fits = boundary == 0 || first / boundary == last / boundary;

                    assert!(!is_good(anywhere) || (first % align.max(1) == 0 && fits));
                }
            }
            // The CPU's address counts as well, up to a page, whatever the device's is.
            let odd = geometry.align().min(PAGE_SIZE) / 2;
            assert_eq!(geometry.is_aligned(whole + odd, whole as u64), odd == 0);
        }
    }

    #[test]
    fn ten_thousand_random() -> Result {
        let device = TestDevice::new(c"dmapool-random")?;

        // On one CPU, so that all blocks of a page come before those of the next one.
        let check_all = || {
            let mut random = Random::new(1);

            (0..10_000).try_for_each(|_| {
                let asked = random_geometry(&mut random);

                check_page(&device, asked).inspect_err(|_| pr_err!("geometry {asked:?}\n"))
            })
        };
        let thread = Thread::spawn(0, check_all)?;

        thread.join()
    }
}
