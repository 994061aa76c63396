// SPDX-License-Identifier: GPL-2.0

//! Pools of slices, whose length is known when running.

use super::super::{
    Block,
    Geometry,
    InvalidGeometry,
    Pool, //
};
use super::support::*;
use kernel::{
    io::{
        io_read,
        io_write, //
    },
    prelude::*, //
};

/// The element at an index that may not be there.
fn element(list: &Block<'_, [u64]>, index: usize) -> Result<u64> {
    Ok(io_read!(list, [try: index]))
}

#[kunit_tests(rust_dmapool_slices)]
mod suite {
    use super::*;

    /// A slice has as many elements as were asked for, whatever the stride.
    #[test]
    fn slices() -> Result {
        let device = TestDevice::new(c"dmapool-slices")?;

        for len in [1, 2, 3, 33, 512, 513, 1000] {
            let geometry = Geometry::<[u64]>::of_slice(len)?;
            let aligned = Geometry::check(geometry.size(), 256, 0)?;

            for geometry in [geometry, aligned] {
                let pool = Pool::<[u64]>::new(device.bound(), c"slices", geometry)?;
                let list = pool.zalloc(GFP_KERNEL)?;
                let next = pool.zalloc(GFP_KERNEL)?;
                let mut copy = KVec::from_elem(1u64, len, GFP_KERNEL)?;

                assert_eq!(list.as_ptr().len(), len);
                list.copy_to_slice(&mut copy)?;
                assert!(copy.iter().all(|&element| element == 0));
                copy.iter_mut().zip(1u64..).for_each(|(to, n)| *to = n);
                list.copy_from_slice(&copy)?;
                assert_eq!(element(&list, len - 1)?, len as u64);
                io_write!(list, [try: 0], 77u64);
                copy.iter_mut().for_each(|element| *element = 0);
                list.copy_to_slice(&mut copy)?;
                assert_eq!(copy[0], 77);
                assert!(copy[1..]
                    .iter()
                    .zip(2u64..)
                    .all(|(&element, n)| element == n));

                // Another length, and one beyond the end.
                assert_eq!(list.copy_from_slice(&copy[1..]), Err(EINVAL));
                copy.push(0, GFP_KERNEL)?;
                assert_eq!(list.copy_to_slice(&mut copy), Err(EINVAL));
                assert!(element(&list, len).is_err());
                // Nothing was written behind the block.
                next.copy_to_slice(&mut copy[..len])?;
                assert!(copy[..len].iter().all(|&element| element == 0));
            }
        }
        Ok(())
    }

    /// Blocks are a multiple of an element, and aligned for it.
    #[test]
    fn slices_that_do_not_fit() {
        let check = |size, align| Geometry::<[u64]>::check(size, align, 0).err();
        let refused = Some(InvalidGeometry::Payload { size: 8, align: 8 });

        assert_eq!(check(24, 8), None);
        assert_eq!(check(20, 8), refused);
        assert_eq!(check(7, 8), refused);
        assert_eq!(check(24, 4), refused);
        assert!(Geometry::<[u64]>::of_slice(0).is_err());
        assert!(Geometry::<[u64]>::of_slice(usize::MAX).is_err());
        // Elements without bytes are not counted.
        assert!(Geometry::<[[u8; 0]]>::check(8, 8, 0).is_err());
    }
}
