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
    lists::List,
    namespace::Nvme,
    registers::Bar,
    ring::{
        CompletionQueue,
        SubmissionQueue, //
    },
    slot::{
        Slot,
        MAX_TAGS, //
    }, //
};
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

struct Submission<'bound> {
    queue: SubmissionQueue<'bound>,
    state: State,
}

struct Completions<'bound> {
    queue: CompletionQueue<'bound>,
    /// How many there were that belong to no command.
    strays: u32,
}

#[pin_data]
pub(crate) struct Queue<'bound> {
    pdev: &'bound pci::Device<Bound>,
    id: u16,
    depth: u16,
    #[pin]
    submission: SpinLock<Submission<'bound>>,
    #[pin]
    completions: SpinLockIrq<Completions<'bound>>,
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
        let dev: &Device<Bound> = pdev.as_ref();
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
        let completions = Completions {
            queue: CompletionQueue::new(dev, bar, id, depth)?,
            strays: 0,
        };

        Arc::pin_init(
            pin_init!(Self {
                pdev,
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
            self.completions.lock().queue.dma_address(),
        )
    }

    #[inline]
    pub(crate) fn slot(&self, tag: u16) -> Option<&Slot<Transfer<'bound>>> {
        self.slots.get(usize::from(tag))
    }

    /// Gives a command to the controller; at once, if `is_last`.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if it should be tried later, [`EIO`] if the controller is dead.
    #[inline]
    pub(crate) fn submit(&self, command: Command, is_last: bool) -> Result {
        let mut submission = self.submission.lock();

        match submission.state {
            State::Live => {}
            State::Resetting => return Err(ENOMEM),
            State::Dead => return Err(EIO),
        }
        submission.queue.push(command)?;
        if is_last {
            submission.queue.ring();
        }
        Ok(())
    }

    /// Tells the controller of commands that were submitted and were not the last.
    pub(crate) fn commit(&self) {
        self.submission.lock().queue.ring();
    }

    /// Sees to all completions, and returns whether there were any. Any context.
    pub(crate) fn reap(&self) -> bool {
        let mut completions = self.completions.lock();
        let mut found = false;

        while let Some(entry) = completions.queue.pop() {
            if self.end_command(&entry).is_none() {
                completions.strays = completions.strays.saturating_add(1);
                self.report_stray(&entry, completions.strays);
            }
            found = true;
        }
        if found {
            completions.queue.acknowledge();
        }
        found
    }

    /// A device that makes up completions must not fill the log with them.
    fn report_stray(&self, entry: &Completion, strays: u32) {
        if strays.is_power_of_two() {
            dev_warn!(
                self.pdev,
                "queue {}: no command has the id {:#x} of a completion, the {strays}. such\n",
                self.id,
                entry.command_id
            );
        }
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

    /// Sets whether commands go to the controller.
    pub(crate) fn set_state(&self, state: State) {
        self.submission.lock().state = state;
    }

    /// Ends all requests of commands that the controller will not complete. It must not be able to
    /// reach memory any more, and no command may be submitted meanwhile.
    pub(crate) fn cancel(&self, mut end: impl FnMut(u16, InFlight<Nvme<'bound>>)) {
        for (tag, slot) in self.slots.iter().enumerate() {
            if let Some(mut claim) = slot.claim_any() {
                let request = claim.finish();

                drop(claim);
                if let Some(request) = request {
                    // CAST: There are `MAX_TAGS` slots at most.
                    end(tag as u16, request);
                }
            }
        }
    }

    /// Forgets all commands and completions, as the controller does when it is reset.
    pub(crate) fn reset(&self) -> Result {
        self.submission.lock().queue.reset();
        self.completions.lock().queue.reset()
    }
}

/// The interrupt handler of a queue.
pub(crate) struct Interrupt<'bound>(pub(crate) Arc<Queue<'bound>>);

impl irq::Handler for Interrupt<'_> {
    #[inline]
    fn handle(&self) -> irq::IrqReturn {
        if self.0.reap() {
            irq::IrqReturn::Handled
        } else {
            irq::IrqReturn::None
        }
    }
}
