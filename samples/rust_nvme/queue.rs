// SPDX-License-Identifier: GPL-2.0

//! An I/O queue pair: a submission queue, a completion queue with an interrupt, and a slot for
//! each command that the controller can have from here.

use crate::{
    bridge::{
        InFlight,
        Mapping, //
    },
    command::{
        Command,
        Completion,
        Status, //
    },
    hardware::Stopped,
    lists::List,
    registers::Bar,
    ring::{
        CompletionQueue,
        SubmissionQueue, //
    },
    slot::{
        Claim,
        Slot,
        MAX_TAGS, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::DmaAddress,
    irq,
    new_spinlock,
    pci,
    prelude::*,
    sync::{
        new_spinlock_irq,
        Arc,
        SpinLock,
        SpinLockIrq, //
    }, //
};

/// What requests are of: the operations of the driver's queues, which `namespace.rs` has.
pub(crate) struct Nvme<'bound>(PhantomData<&'bound ()>);

/// What belongs to a command until it ends.
pub(crate) struct Transfer<'bound> {
    pub(crate) request: Option<InFlight<Nvme<'bound>>>,
    pub(crate) mapping: Mapping<'bound>,
    pub(crate) list: List<'bound>,
}

impl<'bound> Transfer<'bound> {
    /// Gives all back but the request: the controller does not use any of it any more.
    #[inline]
    pub(crate) fn finish(&mut self) -> Option<InFlight<Nvme<'bound>>> {
        self.mapping.unmap();
        self.list = List::None;
        self.request.take()
    }

    /// For a command that the controller does not get after all: the request stays with whoever
    /// has queued it.
    pub(crate) fn undo(&mut self) {
        let _request = self.finish();
    }
}

/// Whether commands go to the controller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Live,
    /// It is being reset.
    Resetting,
    /// It is gone, or will never work again.
    Dead,
}

impl State {
    #[inline]
    fn check(self) -> Result {
        match self {
            State::Live => Ok(()),
            State::Resetting => Err(ENOMEM),
            State::Dead => Err(EIO),
        }
    }
}

struct Submission<'bound> {
    queue: SubmissionQueue<'bound>,
    state: State,
}

#[pin_data]
pub(crate) struct Queue<'bound> {
    id: u16,
    depth: u16,
    #[pin]
    submission: SpinLock<Submission<'bound>>,
    #[pin]
    completions: SpinLockIrq<CompletionQueue<'bound>>,
    slots: KVVec<Slot<Transfer<'bound>>>,
}

impl<'bound> Queue<'bound> {
    /// Queue `id` of `depth` entries, for commands with up to `segments` pieces of data.
    pub(crate) fn new(
        pdev: &'bound pci::Device<Bound>,
        bar: &Arc<Bar<'bound>>,
        id: u16,
        depth: u16,
        segments: usize,
    ) -> Result<Arc<Self>> {
        let dev: &'bound Device<Bound> = pdev.as_ref();
        let tags = Self::tags_of(depth);
        let mut slots = KVVec::with_capacity(tags.into(), GFP_KERNEL)?;

        for _ in 0..tags {
            let transfer = Transfer {
                request: None,
                mapping: Mapping::new(dev, segments)?,
                list: List::None,
            };
            slots.push(Slot::new(transfer), GFP_KERNEL)?;
        }
        let submission = Submission {
            queue: SubmissionQueue::new(dev, bar, id, depth)?,
            state: State::Resetting,
        };
        let completions = CompletionQueue::new(dev, bar, id, depth)?;

        Arc::pin_init(
            pin_init!(Self {
                id,
                depth,
                submission <- new_spinlock!(submission),
                completions <- new_spinlock_irq!(completions),
                slots,
            }),
            GFP_KERNEL,
        )
    }

    /// How many commands a queue of `depth` entries may have with the controller: a queue whose
    /// entries are all used would look empty.
    pub(crate) fn tags_of(depth: u16) -> u16 {
        depth.saturating_sub(1).min(MAX_TAGS)
    }

    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    /// The addresses of the submission and the completion queue.
    pub(crate) fn dma_addresses(&self) -> (DmaAddress, DmaAddress) {
        (
            self.submission.lock().queue.dma_address(),
            self.completions.lock().dma_address(),
        )
    }

    #[inline]
    pub(crate) fn slot(&self, tag: u16) -> Option<&Slot<Transfer<'bound>>> {
        self.slots.get(usize::from(tag))
    }

    /// Gives a command to the controller; at once, if `is_last`.
    ///
    /// From the look at the state until the command is in the queue, this holds the lock that
    /// [`Queue::set_state`] takes. So once that has closed the queue, each command is either in
    /// there and published, or never will be, and its request still belongs to whoever has queued
    /// it, however long that thread is held up before it gets here.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if it should be tried later, [`EIO`] if the controller is dead.
    #[inline]
    pub(crate) fn submit(
        &self,
        mut claim: Claim<'_, Transfer<'bound>>,
        tag: u16,
        command: Command,
        is_last: bool,
    ) -> Result {
        let id = claim.next_id(tag);
        let mut submission = self.submission.lock();

        submission
            .state
            .check()
            .and_then(|()| submission.queue.write(Command { id, ..command }))
            .inspect_err(|_| claim.undo())?;
        // Before the controller can have been told, so that no completion comes too early.
        claim.publish(id);
        submission.queue.advance();
        if is_last {
            submission.queue.ring();
        }
        Ok(())
    }

    /// Tells the controller of commands that were submitted and were not the last.
    pub(crate) fn commit(&self) {
        let mut submission = self.submission.lock();

        if submission.state == State::Live {
            submission.queue.ring();
        }
    }

    /// Sees to all completions, and returns whether any of them was a command's. Any context.
    pub(crate) fn reap(&self) -> bool {
        let mut completions = self.completions.lock();
        let (mut found, mut ended) = (false, false);

        for _ in 0..completions.depth() {
            let Some(entry) = completions.pop() else {
                break;
            };
            match self.end_command(&entry) {
                Some(()) => ended = true,
                None => completions.report_stray(&entry),
            }
            found = true;
        }
        if found {
            completions.acknowledge();
        }
        ended
    }

    /// Ends the request of a command that the controller has completed.
    ///
    /// What the controller writes is not believed: if no command has this id, nothing happens, and
    /// this returns [`None`].
    #[inline]
    fn end_command(&self, entry: &Completion) -> Option<()> {
        let id = entry.command_id;
        let mut claim = self.slot(id % MAX_TAGS)?.claim(id)?;
        let request = claim.finish();

        // From here on the tag can be used for another request.
        drop(claim);
        let request = request?;
        let status = Status::new(entry.status);
        if status.is_ok() {
            request.complete();
        } else {
            request.fail(status.to_error());
        }
        Some(())
    }

    /// Sets whether commands go to the controller. Once this has returned, none is on its way
    /// there that has seen another state.
    pub(crate) fn set_state(&self, state: State) {
        self.submission.lock().state = state;
    }

    /// Ends all requests of commands that the controller has. The queue must be closed.
    pub(crate) fn cancel(
        &self,
        _stopped: &Stopped<'_, '_>,
        mut end: impl FnMut(InFlight<Nvme<'bound>>),
    ) {
        for slot in &self.slots {
            if let Some(mut claim) = slot.claim_any() {
                let request = claim.finish();

                drop(claim);
                if let Some(request) = request {
                    end(request);
                }
            }
        }
    }

    /// Forgets all commands and completions, as a controller does that is stopped. Whoever was
    /// seeing to completions has finished once this returns.
    pub(crate) fn reset(&self, _stopped: &Stopped<'_, '_>) -> Result {
        self.submission.lock().queue.reset();
        self.completions.lock().reset()
    }
}

/// The interrupt handler of a queue.
pub(crate) struct Interrupt<'bound>(pub(crate) Arc<Queue<'bound>>);

impl irq::Handler for Interrupt<'_> {
    /// The kernel takes notice of interrupts that nobody has a use for, and of completions of no
    /// command there is none.
    #[inline]
    fn handle(&self) -> irq::IrqReturn {
        if self.0.reap() {
            irq::IrqReturn::Handled
        } else {
            irq::IrqReturn::None
        }
    }
}
