// SPDX-License-Identifier: GPL-2.0

//! Requests: what they ask for, and their end.

use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    block::mq::{
        Operations,
        Request, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
    Flush,
    Discard,
    WriteZeroes,
    Other,
}

/// The fields of a request that a driver needs.
///
/// Whoever has a reference to a [`Request`] is the driver that it was queued with, and the block
/// layer does not change these fields before the driver ends the request.
pub(crate) trait RequestFields {
    fn as_raw(&self) -> *mut bindings::request;

    #[inline]
    fn flags(&self) -> u32 {
        // SAFETY: The request is valid and its fields are stable, see above.
        unsafe { (*self.as_raw()).cmd_flags }
    }

    #[inline]
    fn operation(&self) -> Operation {
        match self.flags() & ((1 << bindings::REQ_OP_BITS) - 1) {
            bindings::req_op_REQ_OP_READ => Operation::Read,
            bindings::req_op_REQ_OP_WRITE => Operation::Write,
            bindings::req_op_REQ_OP_FLUSH => Operation::Flush,
            bindings::req_op_REQ_OP_DISCARD => Operation::Discard,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Operation::WriteZeroes,
            _ => Operation::Other,
        }
    }

    /// Whether data must be on the medium when the request ends.
    #[inline]
    fn is_fua(&self) -> bool {
        self.flags() & (1 << bindings::req_flag_bits___REQ_FUA) != 0
    }

    /// Where it begins, in sectors of 512 bytes.
    #[inline]
    fn sector(&self) -> u64 {
        // SAFETY: The request is valid and its fields are stable, see above.
        unsafe { (*self.as_raw()).__sector }
    }

    /// How long it is, in bytes.
    #[inline]
    fn len(&self) -> usize {
        // SAFETY: The request is valid and its fields are stable, see above.
        unsafe { (*self.as_raw()).__data_len as usize }
    }

    /// Its number among the requests of its queue that are with the driver.
    #[inline]
    fn tag(&self) -> u16 {
        // SAFETY: The request is valid and its fields are stable, see above.
        //
        // CAST: A tag set has fewer tags than that, and a queued request has one.
        unsafe { (*self.as_raw()).tag as u16 }
    }

    /// The hardware queue that it was queued with.
    #[inline]
    fn queue(&self) -> usize {
        // SAFETY: The request is valid and its fields are stable, see above. A request that was
        // queued has a hardware queue, which lives longer.
        unsafe { (*(*self.as_raw()).mq_hctx).queue_num as usize }
    }

    /// In how many pieces its data lies in memory.
    #[inline]
    fn segments(&self) -> u16 {
        // SAFETY: The request is valid and its fields are stable, see above.
        unsafe { (*self.as_raw()).nr_phys_segments }
    }
}

impl<T: Operations> RequestFields for Request<T> {
    #[inline]
    fn as_raw(&self) -> *mut bindings::request {
        // `Request` is a transparent wrapper.
        core::ptr::from_ref(self).cast_mut().cast()
    }
}

/// A request that was queued with the driver.
///
/// It ends in one of the three ways below, or the driver has not taken it: if `queue_rq()` returns
/// an error, dropping this is all there is to do.
///
/// # Invariants
///
/// The pointer comes from an [`ARef`], whose reference this has.
pub(crate) struct InFlight<T: Operations>(NonNull<Request<T>>, PhantomData<ARef<Request<T>>>);

// SAFETY: As an `ARef` of a request, which any thread may end.
unsafe impl<T: Operations> Send for InFlight<T> {}

impl<T: Operations> InFlight<T> {
    #[inline]
    pub(crate) fn new(request: ARef<Request<T>>) -> Self {
        // INVARIANT: The reference is this value's now.
        Self(ARef::into_raw(request), PhantomData)
    }

    /// Ends the request without an error, on the CPU that it was submitted on if the queue is set
    /// so: [`Operations::complete`] is called there.
    #[inline]
    pub(crate) fn complete(self) {
        // SAFETY: By the type invariants this is such a pointer, and the reference goes back.
        Request::complete(unsafe { ARef::from_raw(self.0) });
    }

    /// Ends the request with an error. Any context.
    pub(crate) fn fail(self, error: Error) {
        // SAFETY: By the type invariants the request is the driver's, which does not use it after
        // this. Nothing looks at its references before it is queued again, which sets them.
        unsafe {
            bindings::blk_mq_end_request(
                self.0.as_ptr().cast(),
                bindings::errno_to_blk_status(error.to_errno()),
            );
        }
    }

    /// Gives the request back, to be queued once more.
    pub(crate) fn requeue(self) {
        // SAFETY: As in `fail()`.
        unsafe { bindings::blk_mq_requeue_request(self.0.as_ptr().cast(), true) };
    }
}

impl<T: Operations> Deref for InFlight<T> {
    type Target = Request<T>;

    #[inline]
    fn deref(&self) -> &Request<T> {
        // SAFETY: By the type invariants the request is valid.
        unsafe { self.0.as_ref() }
    }
}
