// SPDX-License-Identifier: GPL-2.0

//! The geometry of a pool, and that what its blocks hold fits.

use super::super::{
    allocator::geometry::{
        InvalidGeometry,
        RawGeometry, //
    },
    sys::prelude::*, //
};
use super::payload::{
    fits,
    Payload, //
};
use core::ops::Deref;

/// The size, alignment and boundary of a pool's blocks, checked.
///
/// All sizes are in bytes. A block has the size that was asked for. From the beginning of one to
/// that of the next it is the *stride*, which is the size rounded up to the alignment, and to
/// nothing else: a pool of 8-byte blocks holds 512 of them in a 4 KiB page.
///
/// `T` is what a block holds, a [`Payload`]; plain bytes if not given. That it fits is checked
/// here, when compiling if the numbers are known then. A [`Pool`] of `T` takes no
/// other geometry, so as a rule the compiler knows which `T` is meant:
///
/// ```compile_fail,E0308
/// use kernel::{
///     device::{
///         Bound,
///         Device, //
///     },
///     prelude::*, //
/// };
/// use rust_dmapool::{
///     Geometry,
///     Pool, //
/// };
///
/// fn example(dev: &Device<Bound>) -> Result<Pool<'_, u64>> {
///     Pool::new(dev, c"of others", Geometry::<u32>::of())
/// }
/// ```
///
/// Corresponds to the `size`, `align` and `boundary` arguments of C's `dma_pool_create()`.
///
/// # Invariants
///
/// A block of geometry `raw` can hold a `T`.
///
/// # Examples
///
/// ```
/// use rust_dmapool::Geometry;
///
/// // Known when compiling: an invalid geometry would not compile.
/// const COMMAND: Geometry = Geometry::new::<68, 32, 4096>();
///
/// assert!(COMMAND.size() == 68);
/// assert!(COMMAND.stride() == 96);
/// assert!(COMMAND.blocks_per_page() == 42);
/// ```
pub struct Geometry<T: Payload + ?Sized = [u8]> {
    raw: RawGeometry,
    payload: PhantomData<fn() -> PhantomData<T>>,
}

impl<T: Payload + ?Sized> Clone for Geometry<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Payload + ?Sized> Copy for Geometry<T> {}

impl<T: Payload + ?Sized> Deref for Geometry<T> {
    type Target = RawGeometry;

    fn deref(&self) -> &RawGeometry {
        &self.raw
    }
}

impl<T: Payload + ?Sized> Geometry<T> {
    /// What it dereferences to, in a constant.
    ///
    /// # Examples
    ///
    /// ```
    /// use rust_dmapool::Geometry;
    ///
    /// const DISTANCE: usize = Geometry::<[u8; 20]>::of_with::<16, 0>().raw().stride();
    /// assert_eq!(DISTANCE, 32);
    /// ```
    pub const fn raw(&self) -> &RawGeometry {
        &self.raw
    }
}

impl<T: Payload> Geometry<T> {
    /// The geometry of blocks that hold one `T` each: its size and alignment, no boundary.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::prelude::*;
    /// use rust_dmapool::Geometry;
    ///
    /// #[repr(C, align(16))]
    /// #[derive(FromBytes, IntoBytes)]
    /// struct Descriptor {
    ///     address: u64,
    ///     len: u32,
    ///     flags: u32,
    /// }
    ///
    /// assert_eq!(Geometry::<Descriptor>::of().size(), 16);
    /// ```
    #[must_use]
    pub const fn of() -> Self {
        Self::of_with::<0, 0>()
    }

    /// The same, aligned to `ALIGN` bytes if that is more than `T` needs, and with a boundary.
    ///
    /// # Examples
    ///
    /// ```
    /// use rust_dmapool::Geometry;
    ///
    /// // Three words for a controller that fetches aligned to 32 bytes, and not across pages.
    /// let geometry = Geometry::<[u32; 3]>::of_with::<32, 4096>();
    /// assert_eq!((geometry.size(), geometry.stride()), (12, 32));
    /// ```
    #[must_use]
    pub const fn of_with<const ALIGN: usize, const BOUNDARY: usize>() -> Self {
        const {
            let align = if ALIGN > T::ALIGN { ALIGN } else { T::ALIGN };

            Self::expect(T::SIZE, align, BOUNDARY)
        }
    }
}

impl<T: Payload + ?Sized> Geometry<T> {
    /// A geometry of constants, checked when compiling.
    ///
    /// `SIZE`, `ALIGN` and `BOUNDARY` are in bytes and have the meaning that [`Geometry::check`]
    /// gives them.
    ///
    /// # Examples
    ///
    /// ```
    /// use rust_dmapool::Geometry;
    ///
    /// let geometry = Geometry::<[u8]>::new::<64, 64, 0>();
    /// assert_eq!(geometry.blocks_per_page(), 64);
    /// ```
    ///
    /// ```compile_fail,E0080
    /// use rust_dmapool::Geometry;
    ///
    /// // 48 is not a power of two.
    /// const BAD: Geometry = Geometry::new::<64, 48, 0>();
    /// ```
    ///
    /// Nor does one whose blocks cannot hold what they are to hold:
    ///
    /// ```compile_fail,E0080
    /// use rust_dmapool::Geometry;
    ///
    /// const TOO_SMALL: Geometry<u64> = Geometry::new::<4, 8, 0>();
    /// ```
    #[must_use]
    pub const fn new<const SIZE: usize, const ALIGN: usize, const BOUNDARY: usize>() -> Self {
        const { Self::expect(SIZE, ALIGN, BOUNDARY) }
    }

    /// As [`Geometry::check`], when compiling.
    const fn expect(size: usize, align: usize, boundary: usize) -> Self {
        match Self::check(size, align, boundary) {
            Ok(geometry) => geometry,
            Err(_) => panic!("invalid size, align or boundary for a DMA pool of this type"),
        }
    }

    /// The geometry of blocks that hold a slice of `len` elements each, for a
    /// [`Pool`] of `[T]`: the size of so many, the alignment of one, no boundary.
    ///
    /// # Errors
    ///
    /// As [`Geometry::check`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rust_dmapool::Geometry;
    ///
    /// # fn example() -> Result<(), rust_dmapool::InvalidGeometry> {
    /// let list = Geometry::<[u64]>::of_slice(33)?;
    /// assert_eq!(list.size(), 264);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn of_slice(len: usize) -> Result<Self, InvalidGeometry> {
        const { assert!(T::IS_SLICE, "blocks of this type hold no slice") };

        Self::check(T::SIZE.saturating_mul(len), T::ALIGN, 0)
    }

    /// Checks a geometry that is known only when running.
    ///
    /// - `size`: bytes in a block, 1 to `i32::MAX`.
    /// - `align`: what the DMA address of a block is a multiple of; a power of two, and 0 means 1.
    ///   The CPU's address of a block is aligned so up to [`PAGE_SIZE`].
    /// - `boundary`: no block crosses a multiple of this; a power of two that is not smaller than
    ///   `size` rounded up to `align`, and 0 means none.
    ///
    /// Whether memory can be had for a geometry depends on the device. As a rule
    /// `dma_alloc_coherent()` aligns a page to its size rounded up to a power of two, which is
    /// enough. Memory of CMA is aligned to `CONFIG_CMA_ALIGNMENT` at most, most often 1 MiB; that
    /// of an area that belongs to the device, relative to where the area begins. A pool looks at
    /// what it gets, and where alignment or boundary do not hold, allocating fails with [`ENOMEM`].
    ///
    /// # Errors
    ///
    /// [`InvalidGeometry`], which says what is wrong and becomes [`EINVAL`]. To have it reported
    /// in the device's name, use [`Geometry::try_new`].
    ///
    /// # Examples
    ///
    /// ```
    /// use rust_dmapool::Geometry;
    ///
    /// # fn example() -> Result<(), rust_dmapool::InvalidGeometry> {
    /// let geometry = Geometry::<[u8]>::check(100, 8, 0)?;
    /// assert_eq!(geometry.size(), 100);
    /// assert_eq!(geometry.stride(), 104);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn check(
        size: usize,
        align: usize,
        boundary: usize,
    ) -> Result<Self, InvalidGeometry> {
        match RawGeometry::check(size, align, boundary) {
            // INVARIANT: That was checked.
            Ok(raw) if fits::<T>(&raw) => Ok(Self {
                raw,
                payload: PhantomData,
            }),
            Ok(_) => Err(InvalidGeometry::Payload {
                size: T::SIZE,
                align: T::ALIGN,
            }),
            Err(err) => Err(err),
        }
    }

    /// Checks a geometry like [`Geometry::check`], and reports a bad one in the name of `dev`. What
    /// the pool will be called is for the caller to add, or to say instead.
    ///
    /// # Errors
    ///
    /// [`EINVAL`], after a `dev_err` that names the argument and its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     device::Device,
    ///     prelude::*, //
    /// };
    /// use rust_dmapool::Geometry;
    ///
    /// fn geometry_of_queue(dev: &Device, entries: usize) -> Result<Geometry> {
    ///     Geometry::try_new(dev, entries.saturating_mul(16), 64, 4096)
    /// }
    /// ```
    pub fn try_new(dev: &Device, size: usize, align: usize, boundary: usize) -> Result<Self> {
        Self::check(size, align, boundary).map_err(|err| {
            dev_err!(dev, "rust_dmapool: {err}\n");
            err.into()
        })
    }
}
