// SPDX-License-Identifier: GPL-2.0

//! The geometry of a pool: how blocks lie in a page.
//!
//! Pure arithmetic: nothing here allocates, locks or touches a device.

use crate::bitmap::WORD_BITS;
use core::num::NonZeroU32;
use kernel::{
    device::Device,
    dma::DmaAddress,
    fmt,
    page::PAGE_SIZE,
    prelude::*, //
};

/// The size, alignment and boundary of a pool's blocks, checked.
///
/// All sizes are in bytes. A block has the size that was asked for. From the beginning of one to
/// that of the next it is the *stride*, which is the size rounded up to the alignment, and to
/// nothing else: a pool of 8-byte blocks holds 512 of them in a 4 KiB page.
///
/// Corresponds to the `size`, `align` and `boundary` arguments of C's `dma_pool_create()`.
///
/// # Invariants
///
/// - `align` is a power of two.
/// - `stride` is not zero, a multiple of `align` and at most `i32::MAX`; `size` is not zero, and at
///   most `stride`.
/// - `page_size` is `stride` rounded up to a multiple of `PAGE_SIZE`.
/// - `boundary` is zero, or a power of two that is at least `stride`.
/// - `per_segment` strides fit between two multiples of the boundary, and no block of the page
///   crosses one, if `check_place` finds nothing wrong with where the page is.
/// - `blocks` is the number of blocks in a page, at most `i16::MAX`, and the last of them ends
///   within `page_size`.
/// - `stride` is an odd number times 2 to the power of `twos`; `inverse` times that odd number is
///   1, modulo 2^64.
/// - Up to `1 << max_order` pages can lie end to end without a block that crosses the boundary;
///   together they have at most 64 blocks if there is more than one.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    size: NonZeroU32,
    stride: NonZeroU32,
    align: NonZeroU32,
    page_size: u32,
    /// As asked for; 0 if there is none.
    boundary: usize,
    /// Blocks between two multiples of the boundary.
    per_segment: NonZeroU32,
    /// Bytes left over before each multiple of the boundary; 0 if there is one segment only.
    gap: u32,
    blocks: u32,
    max_order: u32,
    /// How often 2 is a factor of the stride.
    twos: u32,
    /// Times the rest of the stride, this is 1, modulo 2^64.
    inverse: u64,
}

/// The most bytes that a pool gets from the system at once, if a block is not larger.
///
/// 64 blocks of 4 KiB fill one word of a bitmap, and growing is rare then. More would be harder to
/// get in one piece, and would stay with a pool that needs it no more.
const MAX_JOINED: usize = 256 << 10;

/// The most blocks in a page, so that their number fits the record of a page in one cache line.
///
/// Only pages of 64 KiB could hold more, in blocks of one byte.
const MAX_BLOCKS: u32 = i16::MAX as u32;

/// Why a geometry was refused. Converts to [`EINVAL`].
///
/// # Examples
///
/// ```
/// use rust_dmapool::{
///     Geometry,
///     InvalidGeometry, //
/// };
///
/// assert!(Geometry::check(64, 48, 0) == Err(InvalidGeometry::Align(48)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGeometry {
    /// The size is zero, or larger than `i32::MAX` bytes before or after rounding.
    Size(usize),
    /// The alignment is not a power of two.
    Align(usize),
    /// The boundary is not a power of two, or smaller than a stride.
    Boundary {
        /// The boundary asked for.
        boundary: usize,
        /// The size of a block, rounded up to the alignment.
        stride: usize,
    },
}

impl fmt::Display for InvalidGeometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size(size) => write!(f, "size {size} is not in 1..={}", i32::MAX),
            Self::Align(align) => write!(f, "align {align} is not a power of two"),
            Self::Boundary { boundary, stride } if boundary.is_power_of_two() => {
                write!(
                    f,
                    "boundary {boundary} is less than a block's {stride} bytes"
                )
            }
            Self::Boundary { boundary, .. } => {
                write!(f, "boundary {boundary} is not a power of two")
            }
        }
    }
}

impl From<InvalidGeometry> for Error {
    fn from(_: InvalidGeometry) -> Error {
        EINVAL
    }
}

/// Why a page cannot be used where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misplaced {
    /// It is not aligned to this many bytes.
    Align(usize),
    /// It crosses a multiple of this many bytes.
    Boundary(usize),
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Align(align) => write!(f, "is not aligned to {align} bytes"),
            Self::Boundary(boundary) => write!(f, "crosses a boundary of {boundary} bytes"),
        }
    }
}

/// What times `odd` is 1, modulo 2^64.
const fn inverse_of(odd: u32) -> u64 {
    let odd = odd as u64;
    // An odd number is its own inverse modulo 8. Each step of Newton's doubles the bits that are
    // right: 3, 6, 12, 24, 48, 96.
    let mut inverse = odd;
    let mut bits = 3;

    while bits < u64::BITS {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

impl Geometry {
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
    /// let geometry = Geometry::new::<64, 64, 0>();
    /// assert_eq!(geometry.blocks_per_page(), 64);
    /// ```
    ///
    /// ```compile_fail,E0080
    /// use rust_dmapool::Geometry;
    ///
    /// // 48 is not a power of two.
    /// const BAD: Geometry = Geometry::new::<64, 48, 0>();
    /// ```
    #[must_use]
    pub const fn new<const SIZE: usize, const ALIGN: usize, const BOUNDARY: usize>() -> Self {
        const {
            match Self::check(SIZE, ALIGN, BOUNDARY) {
                Ok(geometry) => geometry,
                Err(_) => panic!("invalid size, align or boundary for a DMA pool"),
            }
        }
    }

    /// The geometry of blocks that hold one `T` each: its size and alignment, no boundary.
    ///
    /// # Examples
    ///
    /// ```
    /// use rust_dmapool::Geometry;
    ///
    /// #[repr(C, align(32))]
    /// struct Descriptor {
    ///     address: u64,
    ///     len: u32,
    /// }
    ///
    /// assert_eq!(Geometry::of::<Descriptor>().size(), 32);
    /// ```
    #[must_use]
    pub const fn of<T>() -> Self {
        const {
            match Self::check(size_of::<T>(), align_of::<T>(), 0) {
                Ok(geometry) => geometry,
                Err(_) => panic!("a DMA pool cannot hold a type of this size"),
            }
        }
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
    /// let geometry = Geometry::check(100, 8, 0)?;
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
        let align = if align == 0 { 1 } else { align };
        if !align.is_power_of_two() {
            return Err(InvalidGeometry::Align(align));
        }

        const MAX: usize = i32::MAX as usize;
        if size == 0 || size > MAX {
            return Err(InvalidGeometry::Size(size));
        }
        let stride = match size.checked_next_multiple_of(align) {
            Some(stride) if stride <= MAX => stride,
            _ => return Err(InvalidGeometry::Size(size)),
        };

        // At most 2^31: `stride` is below that, and `PAGE_SIZE` is a power of two.
        let page_size = stride.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);

        if boundary != 0 && (!boundary.is_power_of_two() || boundary < stride) {
            return Err(InvalidGeometry::Boundary { boundary, stride });
        }
        // No page is used that crosses a larger boundary; see `check_place`.
        let segment = if boundary == 0 || boundary > page_size {
            page_size
        } else {
            boundary
        };

        // A boundary below the page size is a power of two below a power of two, so there is no
        // remainder. Nothing here is zero, but a division that cannot panic has to be told.
        let (Some(per_segment), Some(gap), Some(segments)) = (
            segment.checked_div(stride),
            segment.checked_rem(stride),
            page_size.checked_div(segment),
        ) else {
            return Err(InvalidGeometry::Size(size));
        };

        // CAST: All of these are at most 2^31.
        let (Some(size), Some(stride), Some(align), Some(per_segment)) = (
            NonZeroU32::new(size as u32),
            NonZeroU32::new(stride as u32),
            NonZeroU32::new(align as u32),
            NonZeroU32::new(per_segment as u32),
        ) else {
            return Err(InvalidGeometry::Size(size));
        };

        let blocks = per_segment.get().wrapping_mul(segments as u32);
        let blocks = if blocks > MAX_BLOCKS {
            MAX_BLOCKS
        } else {
            blocks
        };
        // Pages may be joined if nothing is left over at their end, or if that is a gap as before
        // any other multiple of the boundary; and if no block of a joined page crosses one.
        let joins = page_size.is_power_of_two() && (gap == 0 || segments != 1);
        let max_order = if joins {
            let by_size = match MAX_JOINED.checked_div(page_size) {
                Some(pages) => pages,
                None => 0,
            };
            let by_blocks = match WORD_BITS.checked_div(blocks) {
                Some(pages) => pages,
                None => 0,
            };
            // CAST: At most `MAX_JOINED`.
            let pages = if by_blocks < by_size as u32 {
                by_blocks
            } else {
                by_size as u32
            };

            match pages.checked_ilog2() {
                Some(order) => order,
                None => 0,
            }
        } else {
            0
        };

        // INVARIANT: `stride` is `size` rounded up to `align`, and was checked; blocks lie
        // `per_segment` to a segment, `segments` of which make up the page.
        Ok(Self {
            size,
            stride,
            align,
            page_size: page_size as u32,
            boundary,
            per_segment,
            gap: if segments == 1 { 0 } else { gap as u32 },
            blocks,
            max_order,
            twos: stride.trailing_zeros(),
            inverse: inverse_of(stride.get() >> stride.trailing_zeros()),
        })
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

    /// Bytes in a block: the size asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rust_dmapool::Geometry::new::<20, 16, 0>().size(), 20);
    /// ```
    #[inline]
    pub const fn size(&self) -> usize {
        self.size.get() as usize
    }

    /// Bytes from the beginning of a block to that of the next: the size, rounded up to the
    /// alignment.
    ///
    /// All of them belong to the block, and are zeroed and poisoned with it. Corresponds to the
    /// size that C's attribute `pools` shows.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rust_dmapool::Geometry::new::<20, 16, 0>().stride(), 32);
    /// ```
    #[inline]
    pub const fn stride(&self) -> usize {
        self.stride.get() as usize
    }

    /// What the DMA address of each block is a multiple of, in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rust_dmapool::Geometry::new::<20, 0, 0>().align(), 1);
    /// ```
    #[inline]
    pub const fn align(&self) -> usize {
        self.align.get() as usize
    }

    /// Bytes in a page, the unit in which a pool gets memory: [`PAGE_SIZE`], or enough CPU pages
    /// for one block that is larger than that.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::page::PAGE_SIZE;
    ///
    /// assert_eq!(rust_dmapool::Geometry::new::<20, 0, 0>().page_size(), PAGE_SIZE);
    /// ```
    #[inline]
    pub const fn page_size(&self) -> usize {
        self.page_size as usize
    }

    /// Blocks in a page.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rust_dmapool::Geometry::new::<8, 8, 64>().blocks_per_page() % 8, 0);
    /// ```
    #[inline]
    pub const fn blocks_per_page(&self) -> u32 {
        self.blocks
    }

    /// Whether a page can be used that is at `cpu` for the CPU and at `dma` for the device: whether
    /// its blocks are aligned there, and cross no boundary.
    pub(crate) fn check_place(&self, cpu: usize, dma: DmaAddress) -> Result<(), Misplaced> {
        // All of these are powers of two, so a mask is what there may be of a remainder.
        // CAST: Widening.
        let align = DmaAddress::from(self.align.get()).wrapping_sub(1);
        let for_cpu = self.align().min(PAGE_SIZE).wrapping_sub(1);

        if dma & align != 0 || cpu & for_cpu != 0 {
            return Err(Misplaced::Align(self.align()));
        }
        if self.boundary == 0 {
            return Ok(());
        }
        // CAST: Both have 64 bits.
        let boundary = self.boundary as DmaAddress;
        let page_size = DmaAddress::from(self.page_size);
        let before = dma & boundary.wrapping_sub(1);
        let fits = if boundary < page_size {
            // Blocks keep to it that is counted from the beginning of the page.
            before == 0
        } else {
            // At most 2^63 and 2^31.
            before.wrapping_add(page_size) <= boundary
        };

        if fits {
            Ok(())
        } else {
            Err(Misplaced::Boundary(self.boundary))
        }
    }

    /// The most blocks in a page, or in several that are joined.
    pub(crate) fn most_blocks(&self) -> u32 {
        self.blocks.wrapping_shl(self.max_order)
    }

    /// The most pages that may be joined, as a power of two.
    pub(crate) fn max_order(&self) -> u32 {
        self.max_order
    }

    /// Where block `index` of a page, or of several that were joined, lies; in bytes.
    ///
    /// Within the page if `index` is below [`Geometry::blocks_per_page`].
    #[inline]
    pub(crate) fn offset_of(&self, index: u32) -> u32 {
        let dense = index.wrapping_mul(self.stride.get());

        // Most pools leave nothing over, or have a single segment a page: no division then.
        if self.is_dense() {
            return dense;
        }
        let gaps = index / self.per_segment;
        dense.wrapping_add(gaps.wrapping_mul(self.gap))
    }

    /// Whether blocks follow each other, with nothing left over before a boundary within the page.
    /// Then a block lies at its index times the stride.
    #[inline]
    pub(crate) fn is_dense(&self) -> bool {
        self.gap == 0
    }

    /// The index of the block that begins at `offset`, in bytes, in a dense geometry; if none does,
    /// a number above the index of any block.
    ///
    /// This is an exact division: `offset` is `stride` times what is returned, modulo 2^64. If
    /// that is below 2^32 then there is no modulo about it, because the product fits.
    #[inline(always)]
    pub(crate) fn index_in_dense(&self, offset: u64) -> u64 {
        // What the stride has in factors of 2 is at the lower end of `multiple`, where it is zero
        // if they divide `offset`, and otherwise becomes the upper end.
        let multiple = offset.wrapping_mul(self.inverse);

        multiple.rotate_right(self.twos)
    }

    /// The index of the block that begins at `offset`, in bytes, if one would begin there. Whether
    /// the page has as many blocks is not looked at.
    #[inline]
    pub(crate) fn index_at(&self, offset: u32) -> Option<u32> {
        let mut index = offset / self.stride;

        if self.gap != 0 {
            let segment = self.per_segment.get().wrapping_mul(self.stride.get());
            let segment = segment.wrapping_add(self.gap);
            let (before, rest) = (
                offset.checked_div(segment)?,
                offset.checked_rem(segment)? / self.stride,
            );

            index = before
                .wrapping_mul(self.per_segment.get())
                .wrapping_add(rest);
        }

        (self.offset_of(index) == offset).then_some(index)
    }
}
