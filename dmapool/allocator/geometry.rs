// SPDX-License-Identifier: GPL-2.0

//! The geometry of a pool: how blocks lie in a page.
//!
//! Pure arithmetic: nothing here allocates, locks or touches a device.

use super::super::sys::prelude::*;

/// How the blocks of a pool lie, whatever they hold; what a [`Geometry`]
/// dereferences to.
///
/// All sizes are in bytes.
///
/// # Invariants
///
/// - `align` is a power of two.
/// - `stride` is not zero, a multiple of `align` and at most `i32::MAX`; `size` is not zero, and at
///   most `stride`.
/// - `page_size` is `stride` rounded up to a multiple of `PAGE_SIZE`.
/// - `boundary` is zero, or a power of two that is at least `stride`.
/// - `segment` is the boundary if that is below `page_size`, or else that. `per_segment` strides
///   fit into it, at least one, and no block crosses the boundary if the page `keeps_to_boundary`.
/// - `blocks` is the number of blocks in a page, at most `MAX_BLOCKS`, and the last of them ends
///   within `page_size`.
/// - `stride` is an odd number times 2 to the power of `twos`; `inverse` times that odd number is
///   1, modulo 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawGeometry {
    size: u32,
    stride: u32,
    align: u32,
    page_size: u32,
    /// As asked for; 0 if there is none.
    boundary: usize,
    /// Bytes from the beginning of the page, or a multiple of the boundary, to the next one.
    segment: u32,
    /// Blocks in these.
    per_segment: u32,
    blocks: u32,
    /// How often 2 is a factor of the stride.
    twos: u32,
    /// Times the rest of the stride, this is 1, modulo 2^64.
    inverse: u64,
}

/// The most blocks in a page: a slab has room for 64 words of them.
///
/// Only pages of more than 4 KiB could hold more, in blocks of a few bytes.
const MAX_BLOCKS: usize = 4096;

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
/// let refused = Geometry::<[u8]>::check(64, 48, 0).err();
/// assert!(refused == Some(InvalidGeometry::Align(48)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidGeometry {
    /// The size is zero, or larger than `i32::MAX` bytes before or after rounding.
    Size(usize),
    /// The alignment is not a power of two.
    Align(usize),
    /// Such blocks cannot hold what they are to hold, or not a whole number of a slice's elements.
    Payload {
        /// The size of what they are to hold, or of an element.
        size: usize,
        /// The alignment of that.
        align: usize,
    },
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
            Self::Payload { size, align } => {
                write!(
                    f,
                    "blocks cannot hold items of {size} bytes aligned to {align}"
                )
            }
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

/// What times `odd` is 1, modulo 2^64.
const fn inverse_of(odd: usize) -> u64 {
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

impl RawGeometry {
    /// See [`Geometry::check`].
    pub(crate) const fn check(
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
        // No page is used that crosses a larger boundary; see `keeps_to_boundary`.
        let segment = if boundary == 0 || boundary > page_size {
            page_size
        } else {
            boundary
        };

        // A boundary below the page size is a power of two below a power of two, so there is no
        // remainder. Nothing here is zero, but a division that cannot panic has to be told.
        let (Some(per_segment), Some(segments)) =
            (segment.checked_div(stride), page_size.checked_div(segment))
        else {
            return Err(InvalidGeometry::Size(size));
        };
        let blocks = per_segment.wrapping_mul(segments);
        let blocks = if blocks > MAX_BLOCKS {
            MAX_BLOCKS
        } else {
            blocks
        };
        let twos = stride.trailing_zeros();

        // INVARIANT: `stride` is `size` rounded up to `align`, and was checked; blocks lie
        // `per_segment` to a segment, `segments` of which make up the page.
        // CAST: All of these are at most 2^31.
        Ok(Self {
            size: size as u32,
            stride: stride as u32,
            align: align as u32,
            page_size: page_size as u32,
            boundary,
            segment: segment as u32,
            per_segment: per_segment as u32,
            blocks: blocks as u32,
            twos,
            inverse: inverse_of(stride >> twos),
        })
    }

    /// Bytes in a block: the size asked for.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rust_dmapool::Geometry::<[u8]>::new::<20, 16, 0>().size(), 20);
    /// ```
    #[inline]
    pub const fn size(&self) -> usize {
        self.size as usize
    }

    /// Bytes from the beginning of a block to that of the next: the size, rounded up to the
    /// alignment.
    ///
    /// All of them belong to the block, and are zeroed and poisoned with it; but with `poison=1` or
    /// `redzone=N` those behind the size are a red zone. Corresponds to the
    /// size that C's attribute `pools` shows.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rust_dmapool::Geometry::<[u8]>::new::<20, 16, 0>().stride(), 32);
    /// ```
    #[inline]
    pub const fn stride(&self) -> usize {
        self.stride as usize
    }

    /// What the DMA address of each block is a multiple of, in bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(rust_dmapool::Geometry::<[u8]>::new::<20, 0, 0>().align(), 1);
    /// ```
    #[inline]
    pub const fn align(&self) -> usize {
        self.align as usize
    }

    /// Bytes in a page, the unit in which a pool gets memory: [`PAGE_SIZE`], or enough CPU pages
    /// for one block that is larger than that.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::page::PAGE_SIZE;
    ///
    /// assert_eq!(rust_dmapool::Geometry::<[u8]>::new::<20, 0, 0>().page_size(), PAGE_SIZE);
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
    /// assert_eq!(rust_dmapool::Geometry::<[u8]>::new::<8, 8, 64>().blocks_per_page() % 8, 0);
    /// ```
    #[inline]
    pub const fn blocks_per_page(&self) -> u32 {
        self.blocks
    }

    /// The same with `bytes` more behind each block, if the boundary leaves room for them.
    pub(crate) fn with_red_zone(self, bytes: u32) -> Self {
        let size = self.size().saturating_add(bytes as usize);

        match Self::check(size, self.align(), self.boundary) {
            // INVARIANT: It is less than it was, and that was at most the stride.
            Ok(geometry) => Self {
                size: self.size,
                ..geometry
            },
            Err(_) => self,
        }
    }

    /// In bytes; 0 if there is none.
    pub(crate) fn boundary(&self) -> usize {
        self.boundary
    }

    /// Whether the blocks of a page are aligned that is at `cpu` for the CPU and at `dma` for the
    /// device.
    pub(crate) fn is_aligned(&self, cpu: usize, dma: DmaAddress) -> bool {
        // Powers of two, so a mask is what there may be of a remainder.
        let for_cpu = self.align().min(PAGE_SIZE).wrapping_sub(1);

        dma & DmaAddress::from(self.align).wrapping_sub(1) == 0 && cpu & for_cpu == 0
    }

    /// Whether no block of a page at `dma` crosses the boundary.
    pub(crate) fn keeps_to_boundary(&self, dma: DmaAddress) -> bool {
        // CAST: Both have 64 bits.
        let mask = (self.boundary as DmaAddress).wrapping_sub(1);
        let last = dma
            .wrapping_add(DmaAddress::from(self.page_size))
            .wrapping_sub(1);

        if self.segment == self.page_size {
            // There may be none; then the mask is all ones.
            dma & !mask == last & !mask
        } else {
            // Blocks keep to it that is counted from the beginning of the page.
            dma & mask == 0
        }
    }

    /// Where block `index` of a page lies; in bytes.
    ///
    /// Within the page if `index` is below [`RawGeometry::blocks_per_page`].
    #[inline]
    pub(crate) fn offset_of(&self, index: u32) -> u32 {
        if self.is_dense() {
            return index.wrapping_mul(self.stride);
        }
        // There is always a block in a segment, but a division that cannot panic has to be told.
        let segments = index.checked_div(self.per_segment).unwrap_or(0);
        let rest = index.wrapping_sub(segments.wrapping_mul(self.per_segment));

        segments
            .wrapping_mul(self.segment)
            .wrapping_add(rest.wrapping_mul(self.stride))
    }

    /// Whether blocks follow each other, with nothing left over before a boundary within the page.
    /// Then a block lies at its index times the stride.
    #[inline]
    pub(crate) fn is_dense(&self) -> bool {
        self.segment == self.page_size || self.per_segment.wrapping_mul(self.stride) == self.segment
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

    /// The same in a geometry that is not dense. Its segment is the boundary, a power of two.
    #[inline(always)]
    pub(crate) fn index_with_gaps(&self, offset: u64) -> u64 {
        let rest = offset & u64::from(self.segment).wrapping_sub(1);
        let index = self.index_in_dense(rest);
        let segments = offset.wrapping_shr(self.segment.trailing_zeros());

        if index < self.per_segment.into() {
            segments
                .wrapping_mul(self.per_segment.into())
                .wrapping_add(index)
        } else {
            u64::MAX
        }
    }

    /// The index of the block of a page that begins at `offset`, in bytes, if one does.
    pub(crate) fn index_at(&self, offset: u64) -> Option<u32> {
        let index = if self.is_dense() {
            self.index_in_dense(offset)
        } else {
            self.index_with_gaps(offset)
        };

        // CAST: It is below a `u32`.
        (index < self.blocks.into()).then_some(index as u32)
    }
}
