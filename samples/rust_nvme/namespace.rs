// SPDX-License-Identifier: GPL-2.0

//! A namespace as a disk: how requests become commands.

use crate::{
    bridge::{
        InFlight,
        Operation,
        RequestFields,
        Timeout,
        Verdict, //
    },
    command::{
        io,
        Command,
        Range, //
    },
    controller::Controller,
    lists::Entries,
    queue::{
        Nvme,
        Queue,
        Transfer, //
    }, //
};
use kernel::{
    block::{
        mq::{
            Operations,
            Request, //
        },
        SECTOR_SHIFT, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// What a queue of requests knows: the namespace that it is for.
pub(crate) struct Namespace<'bound> {
    pub(crate) controller: Arc<Controller<'bound>>,
    pub(crate) id: u32,
    /// The logarithm of the bytes in a logical block, from that of a sector to that of a page.
    pub(crate) block_shift: u32,
}

impl<'bound> Namespace<'bound> {
    /// The command for a request, without its id. What the command needs beyond that goes to
    /// `transfer`.
    #[inline]
    fn command(
        &self,
        request: &Request<Nvme<'bound>>,
        transfer: &mut Transfer<'bound>,
    ) -> Result<Command> {
        let (opcode, flags) = match request.operation() {
            Operation::Read => (io::READ, 0),
            Operation::Write if request.is_fua() => (io::WRITE, io::FORCE_UNIT_ACCESS),
            Operation::Write => (io::WRITE, 0),
            Operation::WriteZeroes => return Ok(self.command_on_blocks(io::WRITE_ZEROES, request)),
            Operation::Discard => return self.discard(request, transfer),
            Operation::Flush => return Ok(self.command_without_data(io::FLUSH)),
            Operation::Other => return Err(EOPNOTSUPP),
        };
        let mut ranges = transfer.mapping.ranges(request);
        let Entries { prp1, prp2 } =
            transfer
                .list
                .of_data(self.controller.pools(), &mut ranges, request.len())?;
        let mut command = self.command_on_blocks(opcode, request);

        command.prp1 = prp1;
        command.prp2 = prp2;
        command.cdw12 |= flags;
        Ok(command)
    }

    #[inline]
    fn command_without_data(&self, opcode: u8) -> Command {
        Command {
            opcode,
            nsid: self.id,
            ..Command::default()
        }
    }

    #[inline]
    fn command_on_blocks(&self, opcode: u8, request: &impl RequestFields) -> Command {
        let range = self.range(request);

        Command {
            // CAST: The lower half, and then the upper.
            cdw10: range.first as u32,
            cdw11: (range.first >> u32::BITS) as u32,
            // The field is 16 bits wide, and one less than what is meant. The limits of the queue
            // are such that it fits.
            cdw12: range.blocks.wrapping_sub(1) & 0xffff,
            ..self.command_without_data(opcode)
        }
    }

    /// The blocks that a request is about.
    #[inline]
    fn range(&self, request: &impl RequestFields) -> Range {
        Range {
            first: request
                .sector()
                .wrapping_shr(self.block_shift.wrapping_sub(SECTOR_SHIFT)),
            // CAST: The length of a request is a number of 32 bits.
            blocks: request.len().wrapping_shr(self.block_shift) as u32,
        }
    }

    fn discard(
        &self,
        request: &impl RequestFields,
        transfer: &mut Transfer<'bound>,
    ) -> Result<Command> {
        let Entries { prp1, .. } = transfer
            .list
            .of_range(self.controller.pools(), self.range(request))?;

        Ok(Command {
            prp1,
            // One range; the field is one less.
            cdw10: 0,
            cdw11: io::DEALLOCATE,
            ..self.command_without_data(io::DATASET_MANAGEMENT)
        })
    }

    #[inline]
    fn queue_of(&self, request: &impl RequestFields) -> Result<&Queue<'bound>> {
        self.controller.queue(request.queue()).ok_or(EIO)
    }
}

#[vtable]
impl<'bound> Operations for Nvme<'bound> {
    type QueueData = KBox<Namespace<'bound>>;

    #[inline(always)]
    fn queue_rq(
        namespace: &Namespace<'bound>,
        request: ARef<Request<Self>>,
        is_last: bool,
    ) -> Result {
        let request = InFlight::new(request);
        let queue = namespace.queue_of(&*request)?;
        let tag = request.tag();
        let mut claim = queue
            .slot(tag)
            .and_then(|slot| slot.claim_free())
            .ok_or(EIO)?;

        let command = namespace
            .command(&request, &mut claim)
            .inspect_err(|_| claim.undo())?;
        claim.request = Some(request);
        queue.submit(claim, tag, command, is_last)
    }

    fn commit_rqs(namespace: &Namespace<'bound>) {
        // Which of the queues is meant the crate does not say.
        namespace.controller.commit();
    }

    #[inline(always)]
    fn complete(request: ARef<Request<Self>>) {
        if let Err(request) = Request::end_ok(request) {
            // Nobody else has a reference to it. It stays as it is.
            core::mem::forget(request);
        }
    }
}

impl<'bound> Timeout for Nvme<'bound> {
    fn timeout(namespace: &Namespace<'bound>, request: &Request<Self>) -> Verdict {
        namespace.controller.command_timed_out(request)
    }
}
