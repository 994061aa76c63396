// SPDX-License-Identifier: GPL-2.0

//! Requests that take too long: the callback that `Operations` of the kernel crate lacks.

use core::marker::PhantomData;
use kernel::{
    bindings,
    block::mq::{
        Operations,
        Request,
        TagSet, //
    },
    prelude::*,
    sync::{
        SetOnce,
        UniqueArc, //
    },
    types::ForeignOwnable, //
};

/// What becomes of a request that takes too long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The driver has ended it, or given it back.
    Done,
    /// It gets as much time once more.
    Wait,
}

/// An implementation of [`Operations`] that wants to know of requests that take too long.
pub(crate) trait Timeout: Operations {
    /// Called in process context, and may sleep. The request is not used anew before this returns,
    /// though it can end meanwhile. If it is given back to be queued once more, its tag can become
    /// that of another one.
    fn timeout(
        data: <Self::QueueData as ForeignOwnable>::Borrowed<'_>,
        request: &Request<Self>,
    ) -> Verdict;
}

/// The operations as the kernel crate makes them, and [`Timeout::timeout`].
pub(crate) struct TimeoutTable(SetOnce<bindings::blk_mq_ops>);

impl TimeoutTable {
    pub(crate) const fn new() -> Self {
        Self(SetOnce::new())
    }

    /// Has a tag set use this table.
    ///
    /// # Safety
    ///
    /// The table is used for this type of operations only, whatever its lifetimes are: the
    /// callback of the first tag set is that of all.
    pub(crate) unsafe fn install<T: Timeout>(&'static self, tags: &mut Pin<UniqueArc<TagSet<T>>>) {
        let set: *const TagSet<T> = &**tags;
        let set = set.cast_mut().cast::<bindings::blk_mq_tag_set>();

        // SAFETY: The tag set is valid and not in use by any queue, as it is not shared; `TagSet`
        // is a transparent wrapper. Where its operations point to is there for good.
        unsafe {
            self.0.populate(bindings::blk_mq_ops {
                timeout: Some(Callback::<T>::timeout),
                ..*(*set).ops
            });
            if let Some(table) = self.0.as_ref() {
                (*set).ops = table;
            }
        }
    }
}

struct Callback<T>(PhantomData<T>);

impl<T: Timeout> Callback<T> {
    /// # Safety
    ///
    /// Only blk-mq may call this, for a request that was started and holds a tag.
    unsafe extern "C" fn timeout(request: *mut bindings::request) -> bindings::blk_eh_timer_return {
        // SAFETY: The request is valid, and its queue's data is what `Disk::new()` has put there,
        // which is not taken away as long as there are requests. `Request` is a transparent
        // wrapper, and its own data was initialized with the request.
        let verdict = unsafe {
            let data = T::QueueData::borrow((*(*request).q).queuedata);

            T::timeout(data, &*request.cast::<Request<T>>())
        };

        match verdict {
            Verdict::Done => bindings::blk_eh_timer_return_BLK_EH_DONE,
            Verdict::Wait => bindings::blk_eh_timer_return_BLK_EH_RESET_TIMER,
        }
    }
}
