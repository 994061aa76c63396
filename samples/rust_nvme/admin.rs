// SPDX-License-Identifier: GPL-2.0

//! The admin queue pair. It is rarely used, by one thread at a time, and polled.

use crate::{
    command::{
        admin,
        Command,
        Completion,
        NamespaceList,
        Status,
        NAMESPACES,
        PAGE, //
    },
    hardware::Stopped,
    queue::Queue,
    registers::{
        Bar,
        ACQ,
        ACQ_HIGH,
        AQA,
        ASQ,
        ASQ_HIGH,
        CSTS,
        GONE, //
    },
    ring::{
        CompletionQueue,
        SubmissionQueue, //
    }, //
};
use kernel::{
    device::Bound,
    dma::{
        Coherent,
        CoherentView, //
    },
    io::{
        io_read,
        poll::read_poll_timeout,
        Io, //
    },
    pci,
    prelude::*,
    sync::Arc,
    time::Delta, //
};

const DEPTH: u16 = 32;

/// How long a command may take.
const TIMEOUT: Delta = Delta::from_secs(10);

pub(crate) struct AdminQueue<'bound> {
    pdev: &'bound pci::Device<Bound>,
    bar: Arc<Bar<'bound>>,
    submission: SubmissionQueue<'bound>,
    completion: CompletionQueue<'bound>,
    last_id: u16,
    /// What [`AdminQueue::identify`] has written last. Not its own allocation each time, because
    /// a command that took too long may still write to it.
    answer: Coherent<[u64; PAGE / size_of::<u64>()]>,
}

impl<'bound> AdminQueue<'bound> {
    pub(crate) fn new(pdev: &'bound pci::Device<Bound>, bar: &Arc<Bar<'bound>>) -> Result<Self> {
        Ok(Self {
            pdev,
            bar: bar.clone(),
            submission: SubmissionQueue::new(pdev.as_ref(), bar, 0, DEPTH)?,
            completion: CompletionQueue::new(pdev.as_ref(), bar, 0, DEPTH)?,
            last_id: 0,
            answer: Coherent::zeroed(pdev.as_ref(), GFP_KERNEL)?,
        })
    }

    /// Tells a controller where the queues are, before it starts.
    pub(crate) fn announce(&mut self, _stopped: &Stopped<'_, '_>) -> Result {
        self.submission.reset();
        self.completion.reset()?;

        let (submission, completion) =
            (self.submission.dma_address(), self.completion.dma_address());
        let entries = u32::from(DEPTH - 1);
        // CAST: The lower halves, and then the upper.
        self.bar.write_reg(AQA::from(entries << 16 | entries));
        self.bar.write_reg(ASQ::from(submission as u32));
        self.bar
            .write_reg(ASQ_HIGH::from((submission >> 32) as u32));
        self.bar.write_reg(ACQ::from(completion as u32));
        self.bar
            .write_reg(ACQ_HIGH::from((completion >> 32) as u32));
        Ok(())
    }

    /// Has the controller carry out a command, and returns its result.
    fn execute(&mut self, mut command: Command) -> Result<u32> {
        self.last_id = self.last_id.wrapping_add(1);
        command.id = self.last_id;
        self.submission.write(command)?;
        self.submission.advance();
        self.submission.ring();

        let bar = self.bar.clone();
        let entry = read_poll_timeout(
            || match bar.read(CSTS).into_raw() {
                GONE => Err(ENODEV),
                _ => Ok(self.completion_of(command.id)),
            },
            Option::is_some,
            Delta::from_micros(50),
            TIMEOUT,
        )?
        .ok_or(EIO)?;

        let status = Status::new(entry.status);
        if !status.is_ok() {
            dev_err!(
                self.pdev,
                "admin command {:#x} failed with status {:#x}\n",
                command.opcode,
                status.raw()
            );
            return Err(status.to_error());
        }
        Ok(entry.result)
    }

    /// The completion of the command `id`, if it is there.
    fn completion_of(&mut self, id: u16) -> Option<Completion> {
        for _ in 0..self.completion.depth() {
            let entry = self.completion.pop()?;

            self.completion.acknowledge();
            if entry.command_id == id {
                return Some(entry);
            }
            self.completion.report_stray(&entry);
        }
        None
    }

    /// What the controller says about `what`: a `T`, which is good until it is asked again.
    pub(crate) fn identify<T: FromBytes + IntoBytes>(
        &mut self,
        what: u32,
        nsid: u32,
    ) -> Result<CoherentView<'_, T>> {
        self.execute(Command {
            opcode: admin::IDENTIFY,
            nsid,
            prp1: self.answer.dma_address(),
            cdw10: what,
            ..Command::default()
        })?;
        self.answer.try_cast()
    }

    /// The namespaces that there are, of which none has a number above `highest`.
    pub(crate) fn namespaces(&mut self, highest: u32) -> Result<KVec<u32>> {
        let pdev = self.pdev;
        let list = self.identify::<NamespaceList>(admin::ACTIVE_NAMESPACES, 0)?;
        let mut namespaces = KVec::new();

        // One by one: the list is as long as a page, which is a lot for a stack.
        for index in 0..NAMESPACES {
            let id = io_read!(list, [try: index]);
            if id == 0 {
                break;
            }
            let last = namespaces.last().copied().unwrap_or(0);
            if id <= last || id > highest {
                dev_warn!(
                    pdev,
                    "the list of namespaces has {id} after {last}, of {highest}; the rest of it is ignored\n"
                );
                break;
            }
            namespaces.push(id, GFP_KERNEL)?;
        }
        if namespaces.len() == NAMESPACES && namespaces.last() != Some(&highest) {
            dev_warn!(
                pdev,
                "the list of namespaces is full, of {highest}; those that it has no room for are ignored\n"
            );
        }
        Ok(namespaces)
    }

    /// Asks for so many I/O queue pairs, and returns how many there may be.
    pub(crate) fn set_queue_count(&mut self, count: u16) -> Result<u16> {
        let count = u32::from(count.saturating_sub(1));
        let result = self.execute(Command {
            opcode: admin::SET_FEATURES,
            cdw10: admin::NUMBER_OF_QUEUES,
            cdw11: count << 16 | count,
            ..Command::default()
        })?;

        // CAST: The lower half, and then the upper.
        Ok((result as u16).min((result >> 16) as u16).saturating_add(1))
    }

    /// Makes an I/O queue pair known to the controller. Its interrupt is `vector`.
    pub(crate) fn create_queue(&mut self, queue: &Queue<'_>, vector: u16) -> Result {
        let id = u32::from(queue.id());
        let shape = u32::from(queue.depth().saturating_sub(1)) << 16 | id;
        let (submission, completion) = queue.dma_addresses();

        self.execute(Command {
            opcode: admin::CREATE_COMPLETION_QUEUE,
            prp1: completion,
            cdw10: shape,
            cdw11: u32::from(vector) << 16 | admin::INTERRUPTS | admin::CONTIGUOUS,
            ..Command::default()
        })?;
        self.execute(Command {
            opcode: admin::CREATE_SUBMISSION_QUEUE,
            prp1: submission,
            cdw10: shape,
            cdw11: id << 16 | admin::CONTIGUOUS,
            ..Command::default()
        })?;
        Ok(())
    }
}
