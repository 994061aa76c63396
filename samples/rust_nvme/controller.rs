// SPDX-License-Identifier: GPL-2.0

//! A controller: its queues, what it can do, and what becomes of it when it fails.

use crate::{
    admin::AdminQueue,
    bridge::{
        self,
        Limits,
        Verdict, //
    },
    command::{
        admin,
        IdentifyController,
        IdentifyNamespace,
        PAGE, //
    },
    hardware::Hardware,
    lists::{
        self,
        ListPools, //
    },
    queue::{
        Queue,
        State, //
    },
    registers::Bar, //
};
use kernel::{
    block::SECTOR_SHIFT,
    device::Bound,
    dma::CoherentView,
    io::io_read,
    new_mutex,
    pci,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// The part of a controller that works before there are I/O queues.
pub(crate) struct Startup<'bound> {
    // Dropped first.
    hardware: Hardware<'bound>,
    admin: AdminQueue<'bound>,
    pdev: &'bound pci::Device<Bound>,
    bar: Arc<Bar<'bound>>,
    limits: Limits,
}

impl<'bound> Startup<'bound> {
    /// Resets a controller, and asks it what it can do.
    pub(crate) fn new(pdev: &'bound pci::Device<Bound>, bar: Arc<Bar<'bound>>) -> Result<Self> {
        let mut admin = AdminQueue::new(pdev, &bar)?;
        let hardware = Hardware::new(pdev, &bar)?;

        admin.announce()?;
        hardware.enable()?;
        let identity = admin.identify::<IdentifyController>(admin::CONTROLLER, 0)?;
        let limits = Self::limits(pdev, &identity);

        Ok(Self {
            hardware,
            admin,
            pdev,
            bar,
            limits,
        })
    }

    fn limits(
        pdev: &pci::Device<Bound>,
        identity: &CoherentView<'_, IdentifyController>,
    ) -> Limits {
        let max_bytes = match io_read!(identity, .mdts) {
            mdts @ 1..=8 => PAGE << mdts,
            // No limit, or none that matters.
            _ => lists::MAX_BYTES,
        }
        .min(bridge::max_mapping_size(pdev.as_ref()));
        let oncs = io_read!(identity, .oncs);
        let has = |command| oncs & command != 0;
        Limits {
            // Of each namespace.
            block_size: 0,
            // CAST: At most `lists::MAX_BYTES`, 2 MiB.
            max_sectors: (max_bytes >> SECTOR_SHIFT) as u32,
            max_segments: (max_bytes / PAGE).saturating_add(1) as u16,
            virt_boundary_mask: PAGE - 1,
            dma_alignment: 3,
            has_write_cache: io_read!(identity, .vwc) & 1 != 0,
            max_discard_sectors: if has(IdentifyController::HAS_DATASET_MANAGEMENT) {
                u32::MAX
            } else {
                0
            },
            max_write_zeroes_sectors: if has(IdentifyController::HAS_WRITE_ZEROES) {
                // The number of blocks is one of 16 bits, and a block is a sector at least.
                1 << u16::BITS
            } else {
                0
            },
        }
    }

    /// How many of `count` I/O queue pairs it has.
    pub(crate) fn set_queue_count(&mut self, count: u16) -> Result<u16> {
        Ok(self.admin.set_queue_count(count)?.min(count))
    }

    /// Makes `count` queue pairs of `depth` entries, or as many as a queue can have.
    pub(crate) fn make_queues(&self, count: u16, depth: u16) -> Result<KVec<Arc<Queue<'bound>>>> {
        let depth = depth.min(self.hardware.max_depth()).max(2);
        let mut queues = KVec::with_capacity(count.into(), GFP_KERNEL)?;

        for id in 1..=count {
            let segments = self.limits.max_segments.into();

            queues.push(
                Queue::new(self.pdev, &self.bar, id, depth, segments)?,
                GFP_KERNEL,
            )?;
        }
        Ok(queues)
    }

    /// The controller with these queues, which have their interrupt handlers.
    pub(crate) fn start(
        self,
        pools: ListPools<'bound>,
        queues: KVec<Arc<Queue<'bound>>>,
    ) -> Result<Arc<Controller<'bound>>> {
        let controller = Arc::pin_init(
            pin_init!(Controller {
                hardware: self.hardware,
                admin <- new_mutex!(self.admin),
                queues,
                pdev: self.pdev,
                pools,
                limits: self.limits,
            }),
            GFP_KERNEL,
        )?;

        controller.start_queues(&mut controller.admin.lock())?;
        Ok(controller)
    }
}

#[pin_data]
pub(crate) struct Controller<'bound> {
    // Dropped first.
    hardware: Hardware<'bound>,
    /// Whoever resets the controller holds this.
    #[pin]
    admin: Mutex<AdminQueue<'bound>>,
    queues: KVec<Arc<Queue<'bound>>>,
    pdev: &'bound pci::Device<Bound>,
    pools: ListPools<'bound>,
    limits: Limits,
}

impl<'bound> Controller<'bound> {
    #[inline]
    pub(crate) fn pools(&self) -> &ListPools<'bound> {
        &self.pools
    }

    #[inline]
    pub(crate) fn queue(&self, index: usize) -> Option<&Queue<'bound>> {
        self.queues.get(index).map(|queue| &**queue)
    }

    /// Tells the controller of all commands that were submitted.
    pub(crate) fn commit(&self) {
        for queue in &self.queues {
            queue.commit();
        }
    }

    /// Calls `found` with each namespace that this driver can use: its number, the logarithm of
    /// its block size, its size in sectors of 512 bytes, and its limits.
    pub(crate) fn for_each_namespace(
        &self,
        mut found: impl FnMut(u32, u32, u64, &Limits) -> Result,
    ) -> Result {
        let namespaces = self.admin.lock().namespaces()?;

        for &id in &namespaces {
            let (size, format) = self.size_and_format(id)?;
            let (metadata, block_shift) = (format & 0xffff, format >> 16 & 0xff);

            if metadata != 0 || !(SECTOR_SHIFT..=PAGE.ilog2()).contains(&block_shift) {
                dev_warn!(
                    self.pdev,
                    "namespace {id} has a format that is not supported\n"
                );
                continue;
            }
            let limits = Limits {
                block_size: 1 << block_shift,
                ..self.limits
            };
            let sectors = size
                .checked_mul(1 << (block_shift - SECTOR_SHIFT))
                .ok_or(EIO)?;
            found(id, block_shift, sectors, &limits)?;
        }
        Ok(())
    }

    /// How many blocks a namespace has, and how they look.
    fn size_and_format(&self, id: u32) -> Result<(u64, u32)> {
        let mut admin = self.admin.lock();
        let identity = admin.identify::<IdentifyNamespace>(admin::NAMESPACE, id)?;
        let format = io_read!(identity, .format);
        let format = usize::from(format & 0xf | format >> 1 & 0x30);

        Ok((
            io_read!(identity, .size),
            io_read!(identity, .formats[try: format]),
        ))
    }

    /// Tells the controller of all queues, and lets commands through.
    fn start_queues(&self, admin: &mut AdminQueue<'bound>) -> Result {
        for (vector, queue) in self.queues.iter().enumerate() {
            // CAST: There are as many vectors as queues, of which there are 2^16 - 1 at most.
            admin.create_queue(queue, vector as u16)?;
            queue.set_state(State::Live);
        }
        Ok(())
    }

    /// A command takes too long. If it was not completed after all, the controller is reset: that
    /// command's request fails, and the others are tried again.
    ///
    /// Process context; may sleep.
    pub(crate) fn command_timed_out(&self, index: usize, tag: u16) -> Verdict {
        let Some((queue, slot)) = self
            .queue(index)
            .and_then(|queue| Some((queue, queue.slot(tag)?)))
        else {
            return Verdict::Wait;
        };

        // In case the interrupt was lost.
        queue.reap();
        let Some(id) = slot.command_id() else {
            // It has just ended, or `queue_rq` is about to submit it, which may be late again.
            return Verdict::Wait;
        };
        let mut admin = self.admin.lock();
        // Somebody else may have reset the controller, and given the request back.
        if slot.command_id() != Some(id) {
            return Verdict::Done;
        }

        dev_warn!(
            self.pdev,
            "queue {}: command {id:#x} takes too long, resetting the controller\n",
            queue.id()
        );
        if let Err(error) = self.reset(&mut admin, queue.id(), tag) {
            dev_err!(self.pdev, "the reset failed: {error:?}\n");
            self.give_up();
        }
        Verdict::Done
    }

    /// Resets the controller. The request with the command `late_tag` of queue `late_queue` fails.
    fn reset(&self, admin: &mut AdminQueue<'bound>, late_queue: u16, late_tag: u16) -> Result {
        for queue in &self.queues {
            queue.set_state(State::Resetting);
        }
        // Whether or not this succeeds, the controller does not touch memory from here on.
        let disabled = self.hardware.disable();

        for queue in &self.queues {
            queue.cancel(|tag, request| {
                if (queue.id(), tag) == (late_queue, late_tag) {
                    request.fail(ETIMEDOUT);
                } else {
                    request.requeue();
                }
            });
            queue.reset()?;
        }
        disabled?;
        admin.announce()?;
        self.hardware.enable()?;
        // CAST: As many as there were before.
        if usize::from(admin.set_queue_count(self.queues.len() as u16)?) < self.queues.len() {
            return Err(EIO);
        }
        self.start_queues(admin)
    }

    /// Has all requests fail, those to come too. The controller does not touch memory any more.
    fn give_up(&self) {
        for queue in &self.queues {
            queue.set_state(State::Dead);
        }
        for queue in &self.queues {
            queue.cancel(|_, request| request.fail(EIO));
        }
    }

    /// Before the driver detaches: if the device is gone, nobody need wait for it.
    pub(crate) fn check_presence(&self) {
        if self.hardware.is_gone() {
            // Nobody is about to bring it back.
            let _admin = self.admin.lock();

            dev_warn!(self.pdev, "the controller is gone\n");
            bridge::stop_dma(self.pdev);
            self.give_up();
        }
    }
}
