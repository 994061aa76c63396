// SPDX-License-Identifier: GPL-2.0

//! What a block can hold.

use super::super::allocator::geometry::Geometry;
use super::super::sys::prelude::*;
use kernel::ptr::KnownSize;

mod private {
    pub trait Sealed {}
}

impl<T: FromBytes + IntoBytes> private::Sealed for T {}
impl<T: FromBytes + IntoBytes> private::Sealed for [T] {}

/// What the blocks of a [`Pool`](crate::Pool) can hold: any type for which all bytes are valid
/// and which has no padding, or a slice of these, plain bytes for example. A slice has as many
/// elements as its blocks have room for, so their size must be a multiple of that of an element.
///
/// A device may change the contents at any time, which is why every bit pattern must be valid.
/// Derive [`FromBytes`] and [`IntoBytes`] and the type is a payload; there is nothing to implement.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use rust_dmapool::Payload;
///
/// #[repr(C)]
/// #[derive(FromBytes, IntoBytes)]
/// struct Descriptor {
///     address: u64,
///     len: u32,
///     flags: u32,
/// }
///
/// fn is_payload<T: Payload + ?Sized>() {}
/// is_payload::<Descriptor>();
/// is_payload::<[u8]>();
/// is_payload::<[Descriptor]>();
/// ```
///
/// ```compile_fail,E0277
/// # use kernel::prelude::*;
/// # use rust_dmapool::Payload;
/// # fn is_payload<T: Payload + ?Sized>() {}
/// // A device could make this neither true nor false.
/// is_payload::<bool>();
/// ```
pub trait Payload: KnownSize + private::Sealed {
    /// Whether a block of this geometry can hold the type.
    #[doc(hidden)]
    fn fits(geometry: &Geometry) -> bool;

    /// A pointer to the payload of a block of `size` bytes that begins at `block`.
    #[doc(hidden)]
    fn in_block(block: *mut u8, size: usize) -> *mut Self;
}

impl<T: FromBytes + IntoBytes> Payload for T {
    fn fits(geometry: &Geometry) -> bool {
        // Behind an IOMMU, the CPU may see coherent memory at any page of its address space.
        size_of::<T>() <= geometry.size()
            && align_of::<T>() <= geometry.align()
            && align_of::<T>() <= PAGE_SIZE
    }

    #[inline]
    fn in_block(block: *mut u8, _size: usize) -> *mut T {
        block.cast()
    }
}

impl<T: FromBytes + IntoBytes> Payload for [T] {
    fn fits(geometry: &Geometry) -> bool {
        // There is no such multiple of zero.
        T::fits(geometry) && geometry.size().checked_rem(size_of::<T>()) == Some(0)
    }

    #[inline]
    fn in_block(block: *mut u8, size: usize) -> *mut [T] {
        // It fits, so there is no remainder.
        let len = size.checked_div(size_of::<T>()).unwrap_or(0);

        ptr::slice_from_raw_parts_mut(block.cast(), len)
    }
}
