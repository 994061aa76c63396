// SPDX-License-Identifier: GPL-2.0

//! The data of a request, mapped for its device: the block layer's own iterator.

use super::{
    device,
    request::RequestFields, //
};
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    dma::{
        DataDirection,
        DmaAddress, //
    },
    error::to_result,
    prelude::*, //
};

/// `struct blk_dma_iter`, which the bindings do not have. `bridge.c` asserts what is assumed here.
#[repr(C)]
struct Iterator {
    address: DmaAddress,
    len: u32,
    p2pdma: [MaybeUninit<u64>; 2],
    status: bindings::blk_status_t,
    rest: [MaybeUninit<u64>; 7],
}

// `block/blk-mq-dma.c`, and `bridge.c`. Some configurations leave nothing in structures that are
// only pointed to here.
#[allow(improper_ctypes)]
extern "C" {
    fn blk_rq_dma_map_iter_start(
        request: *mut bindings::request,
        dev: *mut bindings::device,
        state: *mut bindings::dma_iova_state,
        iterator: *mut Iterator,
    ) -> bool;
    fn blk_rq_dma_map_iter_next(
        request: *mut bindings::request,
        dev: *mut bindings::device,
        iterator: *mut Iterator,
    ) -> bool;
    fn rust_nvme_map_single(
        request: *mut bindings::request,
        dev: *mut bindings::device,
        address: *mut DmaAddress,
    ) -> bool;
    fn rust_nvme_unmap_iova(
        dev: *mut bindings::device,
        state: *mut bindings::dma_iova_state,
        len: usize,
        direction: bindings::dma_data_direction,
    );
}

/// A piece of memory as the device sees it.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) address: DmaAddress,
    pub(crate) len: usize,
}

impl Segment {
    pub(crate) const NONE: Self = Self { address: 0, len: 0 };

    /// Goes on by `bytes`, or to the end.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize) {
        // CAST: Widening.
        self.address = self.address.wrapping_add(bytes as DmaAddress);
        self.len = self.len.saturating_sub(bytes);
    }
}

/// What of a request's data is mapped for the device.
///
/// It is unmapped by [`Mapping::unmap`], before the request is ended, or when this is dropped.
pub(crate) struct Mapping<'dev> {
    dev: &'dev Device<Bound>,
    direction: DataDirection,
    /// All of it in one piece of I/O virtual memory of `len` bytes, if an IOMMU could do that.
    iova: bindings::dma_iova_state,
    len: usize,
    /// Otherwise the pieces, as far as they must be unmapped.
    first: Segment,
    others: KVec<Segment>,
}

// SAFETY: A mapping belongs to no thread.
unsafe impl Send for Mapping<'_> {}

impl<'dev> Mapping<'dev> {
    /// Nothing is mapped yet, and memory is there to note `segments` pieces.
    ///
    /// Process context; may sleep.
    pub(crate) fn new(dev: &'dev Device<Bound>, segments: usize) -> Result<Self> {
        let mut others = KVec::new();

        if device::needs_unmap(dev) {
            others.reserve(segments, GFP_KERNEL)?;
        }
        Ok(Self {
            dev,
            direction: DataDirection::FromDevice,
            iova: bindings::dma_iova_state { addr: 0, __size: 0 },
            len: 0,
            first: Segment::NONE,
            others,
        })
    }

    /// The data of `request`, to be mapped piece by piece.
    #[inline]
    pub(crate) fn ranges<'a>(&'a mut self, request: &'a impl RequestFields) -> Ranges<'a, 'dev> {
        // Odd operations write.
        self.direction = if request.flags() & 1 != 0 {
            DataDirection::ToDevice
        } else {
            DataDirection::FromDevice
        };
        self.len = request.len();
        Ranges {
            mapping: self,
            request: request.as_raw(),
            iterator: MaybeUninit::uninit(),
            state: if request.segments() == 1 {
                State::Single
            } else {
                State::Start
            },
        }
    }

    /// Notes down that `segment` must be unmapped.
    #[inline]
    fn note(&mut self, segment: Segment) -> Result {
        if self.first.len == 0 {
            self.first = segment;
            return Ok(());
        }
        self.others
            .push(segment, GFP_ATOMIC)
            .map_err(|_| self.unmap_segment(segment))
            .map_err(|()| ENOMEM)
    }

    #[inline]
    fn unmap_segment(&self, segment: Segment) {
        // SAFETY: The piece was mapped for this device and in this direction, and is unmapped once.
        unsafe {
            bindings::dma_unmap_phys(
                device::as_raw(self.dev),
                segment.address,
                segment.len,
                self.direction.into(),
                0,
            );
        }
    }

    /// Unmaps all that is mapped. Any context.
    #[inline]
    pub(crate) fn unmap(&mut self) {
        if self.first.len != 0 {
            self.unmap_segment(self.first);
            self.first = Segment::NONE;
            for &segment in &self.others {
                self.unmap_segment(segment);
            }
            self.others.clear();
        }
        if self.iova.__size != 0 {
            // SAFETY: As above, for all of it.
            unsafe {
                rust_nvme_unmap_iova(
                    device::as_raw(self.dev),
                    &mut self.iova,
                    self.len,
                    self.direction.into(),
                );
            }
            self.iova.__size = 0;
        }
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        self.unmap();
    }
}

enum State {
    /// The data is in one piece, for which there is a shorter way.
    Single,
    Start,
    Next,
    Done,
}

/// The pieces of a request's data, which are mapped as they are asked for.
pub(crate) struct Ranges<'m, 'dev> {
    mapping: &'m mut Mapping<'dev>,
    request: *mut bindings::request,
    iterator: MaybeUninit<Iterator>,
    state: State,
}

impl Ranges<'_, '_> {
    /// The next piece.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if there is no memory for it at the moment, [`EIO`] if there is none left or it
    /// is not for this device.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Segment> {
        match self.state {
            State::Single => self.single(),
            State::Start => self.start(),
            State::Next => self.following(),
            State::Done => Err(EIO),
        }
    }

    #[inline]
    fn single(&mut self) -> Result<Segment> {
        let mut segment = Segment {
            address: 0,
            len: self.mapping.len,
        };

        self.state = State::Done;
        // SAFETY: The request and the device are valid, and the request has one segment.
        let mapped = unsafe {
            rust_nvme_map_single(
                self.request,
                device::as_raw(self.mapping.dev),
                &mut segment.address,
            )
        };
        if !mapped {
            return Err(ENOMEM);
        }
        self.note(segment)
    }

    fn start(&mut self) -> Result<Segment> {
        // SAFETY: The request and the device are valid; the state and the iterator are written to,
        // and the former stays where it is until it is unmapped.
        let mapped = unsafe {
            blk_rq_dma_map_iter_start(
                self.request,
                device::as_raw(self.mapping.dev),
                &mut self.mapping.iova,
                self.iterator.as_mut_ptr(),
            )
        };

        if !mapped {
            // I/O virtual memory that it had, it has given back by itself, and does not say so.
            self.mapping.iova.__size = 0;
        }
        self.state = State::Next;
        self.mapped(mapped)
    }

    #[inline]
    fn following(&mut self) -> Result<Segment> {
        // SAFETY: The request and the device are valid, and the iterator was started with them.
        let mapped = unsafe {
            blk_rq_dma_map_iter_next(
                self.request,
                device::as_raw(self.mapping.dev),
                self.iterator.as_mut_ptr(),
            )
        };

        self.mapped(mapped)
    }

    /// The piece that was mapped last, if it was.
    #[inline]
    fn mapped(&mut self, mapped: bool) -> Result<Segment> {
        // SAFETY: The iterator was started, which has written what is not `MaybeUninit`.
        let iterator = unsafe { self.iterator.assume_init_ref() };

        if !mapped {
            return Err(error_of(iterator.status));
        }
        let segment = Segment {
            address: iterator.address,
            len: iterator.len as usize,
        };
        if self.mapping.iova.__size != 0 {
            self.state = State::Done;
            return Ok(segment);
        }
        self.note(segment)
    }

    #[inline]
    fn note(&mut self, segment: Segment) -> Result<Segment> {
        if device::needs_unmap(self.mapping.dev) {
            self.mapping.note(segment)?;
        }
        Ok(segment)
    }
}

fn error_of(status: bindings::blk_status_t) -> Error {
    // SAFETY: The function has no requirements.
    let errno = unsafe { bindings::blk_status_to_errno(status) };

    // There is no status if there simply is nothing left.
    to_result(errno).err().unwrap_or(EIO)
}
