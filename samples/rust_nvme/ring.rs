// SPDX-License-Identifier: GPL-2.0

//! The two halves of a queue pair: rings of entries in coherent memory, each with a doorbell.

use crate::{
    command::{
        Command,
        Completion, //
    },
    registers::{
        Bar,
        Doorbell, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        Coherent,
        DmaAddress, //
    },
    io::{
        io_project,
        io_read,
        Io, //
    },
    prelude::*,
    sync::{
        barrier::{
            dma_mb,
            Read, //
        },
        Arc, //
    }, //
};

/// What entries are made of for `Coherent`, which does not know of derived traits.
type Words<const N: usize> = [u32; N];

/// The index after `index` in a ring of `depth` entries.
#[inline]
fn next(index: u16, depth: u16) -> u16 {
    match index.wrapping_add(1) {
        next if next < depth => next,
        _ => 0,
    }
}

/// Commands for the controller.
pub(crate) struct SubmissionQueue<'bound> {
    entries: Coherent<[Words<16>]>,
    depth: u16,
    tail: u16,
    /// The tail that the controller was told last.
    rung: u16,
    doorbell: Doorbell<'bound>,
}

impl<'bound> SubmissionQueue<'bound> {
    pub(crate) fn new(
        dev: &Device<Bound>,
        bar: &Arc<Bar<'bound>>,
        id: u16,
        depth: u16,
    ) -> Result<Self> {
        Ok(Self {
            entries: Coherent::zeroed_slice(dev, depth.into(), GFP_KERNEL)?,
            depth,
            tail: 0,
            rung: 0,
            doorbell: Doorbell::of_submission(dev, bar, id)?,
        })
    }

    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.entries.dma_address()
    }

    /// Writes a command to the tail, where the controller does not look yet. The caller sees to
    /// it that there are fewer commands with the controller than there are entries.
    #[inline]
    pub(crate) fn write(&mut self, command: Command) -> Result {
        io_project!(self.entries, [try: usize::from(self.tail)])
            .try_cast::<Command>()?
            .copy_write(command);
        Ok(())
    }

    /// Makes the command that was written to the tail one of those to tell the controller of.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.tail = next(self.tail, self.depth);
        if next(self.tail, self.depth) == self.rung {
            // It would look empty to the controller if one more were put there.
            self.ring();
        }
    }

    /// Tells the controller of all commands of which it does not know.
    ///
    /// They are written before the doorbell is, see [`Doorbell::ring`]; so are the lists that they
    /// point to, which were written by this thread before the command was.
    #[inline]
    pub(crate) fn ring(&mut self) {
        if self.tail != self.rung {
            self.doorbell.ring(self.tail);
            self.rung = self.tail;
        }
    }

    /// Forgets all commands, as the controller does when it is reset.
    pub(crate) fn reset(&mut self) {
        self.tail = 0;
        self.rung = 0;
    }
}

/// What the controller has done.
pub(crate) struct CompletionQueue<'bound> {
    dev: &'bound Device<Bound>,
    id: u16,
    entries: Coherent<[Words<4>]>,
    depth: u16,
    head: u16,
    /// What the phase of an entry is if it is new. The controller inverts it each time round.
    phase: u16,
    /// How many there were that belong to no command.
    strays: u32,
    doorbell: Doorbell<'bound>,
}

impl<'bound> CompletionQueue<'bound> {
    pub(crate) fn new(
        dev: &'bound Device<Bound>,
        bar: &Arc<Bar<'bound>>,
        id: u16,
        depth: u16,
    ) -> Result<Self> {
        Ok(Self {
            dev,
            id,
            entries: Coherent::zeroed_slice(dev, depth.into(), GFP_KERNEL)?,
            depth,
            head: 0,
            phase: 1,
            strays: 0,
            doorbell: Doorbell::of_completion(dev, bar, id)?,
        })
    }

    pub(crate) fn dma_address(&self) -> DmaAddress {
        self.entries.dma_address()
    }

    /// How many completions there can be at once.
    ///
    /// A controller has no room for more before [`CompletionQueue::acknowledge()`] is called, and
    /// raises an interrupt for those that come after that. So whoever stops after so many misses
    /// none, and is not kept for ever by a controller that writes more.
    pub(crate) fn depth(&self) -> u16 {
        self.depth
    }

    /// The next completion, if there is one.
    ///
    /// The rest of an entry is read after its phase was: the controller writes the phase last, so
    /// what is read belongs to it.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Completion> {
        let entry = self.next()?;

        self.head = next(self.head, self.depth);
        if self.head == 0 {
            self.phase ^= 1;
        }
        Some(entry)
    }

    #[inline]
    fn next(&self) -> Option<Completion> {
        self.read_next().ok().flatten()
    }

    #[inline]
    fn read_next(&self) -> Result<Option<Completion>> {
        let entry =
            io_project!(self.entries, [try: usize::from(self.head)]).try_cast::<Completion>()?;

        if io_read!(entry, .status) & 1 != self.phase {
            return Ok(None);
        }
        dma_mb(Read);
        Ok(Some(entry.copy_read()))
    }

    /// Lets the controller use the entries again that were popped.
    ///
    /// They were read before: what was read decided what to do, and the write to the BAR comes
    /// after that, see [`Doorbell::ring`].
    #[inline]
    pub(crate) fn acknowledge(&self) {
        self.doorbell.ring(self.head);
    }

    /// Takes note of a completion that belongs to no command. A device that makes them up must not
    /// fill the log with them: each power of two is said.
    pub(crate) fn report_stray(&mut self, entry: &Completion) {
        self.strays = self.strays.saturating_add(1);
        if self.strays.is_power_of_two() {
            dev_warn!(
                self.dev,
                "queue {}: no command has the id {:#x} of a completion, the {}. such\n",
                self.id,
                entry.command_id,
                self.strays
            );
        }
    }

    /// Forgets all completions, as the controller does when it is reset.
    pub(crate) fn reset(&mut self) -> Result {
        for index in 0..self.depth {
            io_project!(self.entries, [try: usize::from(index)]).copy_write([0; 4]);
        }
        self.head = 0;
        self.phase = 1;
        Ok(())
    }
}
