// SPDX-License-Identifier: GPL-2.0

//! Threads of the kernel that may borrow from the one who starts them.

use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Completion, //
    }, //
};

/// A thread of the kernel that is joined when dropped, so that it may borrow.
pub(crate) struct Thread<'a, F: FnOnce() -> Result + Send + 'a> {
    task: *mut bindings::task_struct,
    shared: Pin<KBox<Shared<F>>>,
    borrows: PhantomData<&'a ()>,
}

#[pin_data]
struct Shared<F> {
    f: UnsafeCell<ManuallyDrop<F>>,
    result: Atomic<i32>,
    #[pin]
    done: Completion,
}

impl<'a, F: FnOnce() -> Result + Send + 'a> Thread<'a, F> {
    /// Starts a thread on `cpu`.
    pub(crate) fn spawn(cpu: u32, f: F) -> Result<Self> {
        let shared = KBox::pin_init(
            pin_init!(Shared {
                f: UnsafeCell::new(ManuallyDrop::new(f)),
                result: Atomic::new(0),
                done <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        let data = ptr::from_ref(&*shared).cast_mut().cast();

        // SAFETY: `entry` takes `data`, which lives until the thread is joined. A thread that was
        // created but not woken up may be bound.
        let task = unsafe {
            let task = bindings::kthread_create_on_node(
                Some(Self::entry),
                data,
                bindings::NUMA_NO_NODE,
                c"dmapool-test".as_char_ptr(),
            );
            from_err_ptr(task)?;
            bindings::kthread_bind(task, cpu);
            bindings::wake_up_process(task);
            task
        };

        Ok(Self {
            task,
            shared,
            borrows: PhantomData,
        })
    }

    /// # Safety
    ///
    /// To be called once, by the thread that `spawn` has made for `data`.
    unsafe extern "C" fn entry(data: *mut c_void) -> c_int {
        let shared = data.cast::<Shared<F>>();

        // SAFETY: `data` comes from `spawn`, and only this thread touches `f`, once.
        let result = unsafe { ManuallyDrop::take(&mut *(*shared).f.get())() };
        let errno = result.err().map_or(0, Error::to_errno);
        // SAFETY: `shared` lives until `kthread_stop()` has returned.
        unsafe {
            (*shared).result.store(errno, Relaxed);
            (*shared).done.complete_all();
        }

        // The one who joins waits in `kthread_stop()`, for which the thread must still be there.
        // SAFETY: This is a kthread.
        while !unsafe { bindings::kthread_should_stop() } {
            // SAFETY: Nothing is held.
            unsafe { bindings::schedule_timeout_interruptible(1) };
        }
        0
    }

    fn stop(&mut self) {
        if !self.task.is_null() {
            // A thread that is stopped before it ran never runs.
            self.shared.done.wait_for_completion();
            // SAFETY: The thread was started, and waits for this.
            unsafe { bindings::kthread_stop(self.task) };
            self.task = ptr::null_mut();
        }
    }

    /// Waits for the thread, and returns its result.
    pub(crate) fn join(mut self) -> Result {
        self.stop();
        to_result(self.shared.result.load(Relaxed))
    }
}

impl<'a, F: FnOnce() -> Result + Send + 'a> Drop for Thread<'a, F> {
    fn drop(&mut self) {
        self.stop();
    }
}
