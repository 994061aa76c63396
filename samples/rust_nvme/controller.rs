// SPDX-License-Identifier: GPL-2.0

//! A controller: its queues, what it can do, and what becomes of it when it fails.

use crate::{
    admin::AdminQueue,
    bridge::{
        self,
        Limits,
        RequestFields,
        Verdict, //
    },
    command::{
        admin,
        IdentifyController,
        IdentifyNamespace,
        PAGE, //
    },
    hardware::{
        Hardware,
        Stopped, //
    },
    lists::{
        self,
        ListPools, //
    },
    queue::{
        Nvme,
        Queue,
        State, //
    },
    registers::Bar, //
};
use core::ptr;
use kernel::{
    block::{
        mq::Request,
        SECTOR_SHIFT, //
    },
    device::{
        Bound,
        Core, //
    },
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

/// The size of a disk in bytes must be a positive `loff_t`.
const MAX_SECTORS: u64 = (i64::MAX as u64) >> SECTOR_SHIFT;

/// What whoever switches a controller off or on, or asks it something, holds a lock for.
struct Control<'bound> {
    // Dropped first.
    hardware: Hardware<'bound>,
    admin: AdminQueue<'bound>,
}

/// The part of a controller that works before there are I/O queues.
pub(crate) struct Startup<'bound> {
    control: Control<'bound>,
    pdev: &'bound pci::Device<Bound>,
    bar: Arc<Bar<'bound>>,
    limits: Limits,
    /// The highest number that a namespace can have.
    last_namespace: u32,
}

impl<'bound> Startup<'bound> {
    /// Resets a controller, and asks it what it can do.
    // What this has on the stack is gone when `probe()` goes on.
    #[inline(never)]
    pub(crate) fn new(pdev: &'bound pci::Device<Core<'_>>, bar: Arc<Bar<'bound>>) -> Result<Self> {
        let hardware = Hardware::new(pdev, &bar)?;
        let admin = AdminQueue::new(pdev, &bar)?;
        let mut control = Control { hardware, admin };
        let Control { hardware, admin } = &mut control;

        let stopped = hardware.stop();
        stopped.let_to_memory(pdev)?;
        admin.announce(&stopped)?;
        stopped.start()?;
        let identity = admin.identify::<IdentifyController>(admin::CONTROLLER, 0)?;
        Self::check_entry_sizes(pdev, &identity)?;
        let limits = Self::limits(pdev, &identity);
        let last_namespace = io_read!(identity, .namespaces);

        Ok(Self {
            control,
            pdev,
            bar,
            limits,
            last_namespace,
        })
    }

    /// Entries of 64 and of 16 bytes must do, which is what this driver says when it starts the
    /// controller.
    fn check_entry_sizes(
        pdev: &pci::Device<Bound>,
        identity: &CoherentView<'_, IdentifyController>,
    ) -> Result {
        let (sqes, cqes) = (io_read!(identity, .sqes), io_read!(identity, .cqes));
        let has = |sizes: u8, size| (sizes & 0xf..=sizes >> 4).contains(&size);

        if !has(sqes, 6) || !has(cqes, 4) {
            dev_err!(
                pdev,
                "the controller's queues have entries of other sizes: {sqes:#x}, {cqes:#x}\n"
            );
            return Err(ENODEV);
        }
        Ok(())
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
        Ok(self.control.admin.set_queue_count(count)?.min(count))
    }

    /// Makes `count` queue pairs of `depth` entries, or as many as a queue can have.
    pub(crate) fn make_queues(&self, count: u16, depth: u16) -> Result<KVec<Arc<Queue<'bound>>>> {
        let depth = depth.max(2).min(self.control.hardware.max_depth());
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
                control <- new_mutex!(self.control),
                queues,
                pdev: self.pdev,
                pools,
                limits: self.limits,
                last_namespace: self.last_namespace,
            }),
            GFP_KERNEL,
        )?;

        controller.start_queues(&mut controller.control.lock().admin)?;
        Ok(controller)
    }
}

#[pin_data]
pub(crate) struct Controller<'bound> {
    // Dropped first.
    #[pin]
    control: Mutex<Control<'bound>>,
    queues: KVec<Arc<Queue<'bound>>>,
    pdev: &'bound pci::Device<Bound>,
    pools: ListPools<'bound>,
    limits: Limits,
    last_namespace: u32,
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
        let namespaces = self.control.lock().admin.namespaces(self.last_namespace)?;

        for &id in &namespaces {
            let Some((block_shift, sectors)) = self.shape_of(id)? else {
                continue;
            };
            let limits = Limits {
                block_size: 1 << block_shift,
                ..self.limits
            };
            found(id, block_shift, sectors, &limits)?;
        }
        Ok(())
    }

    /// The logarithm of the block size of a namespace, and its size in sectors, if it can be used.
    fn shape_of(&self, id: u32) -> Result<Option<(u32, u64)>> {
        let admin = &mut self.control.lock().admin;
        let identity = match admin.identify::<IdentifyNamespace>(admin::NAMESPACE, id) {
            Ok(identity) => identity,
            // It is the same for the others, and each would take a while.
            Err(error) if error == ETIMEDOUT || error == ENODEV => return Err(error),
            // There was a message.
            Err(_) => return Ok(None),
        };
        let index = io_read!(identity, .format);
        let index = usize::from(index & 0xf | index >> 1 & 0x30);
        let format = (index <= usize::from(io_read!(identity, .last_format)))
            .then_some(io_read!(identity, .formats[try: index]));

        Ok(Self::check_shape(io_read!(identity, .size), format)
            .inspect_err(|why| dev_warn!(self.pdev, "namespace {id} cannot be used: {why}\n"))
            .ok())
    }

    /// What [`Controller::shape_of`] returns, for a namespace of `size` blocks in this format.
    fn check_shape(size: u64, format: Option<u32>) -> Result<(u32, u64), &'static CStr> {
        let format = format.ok_or(c"it has a format that there is not")?;
        let (metadata, block_shift) = (format & 0xffff, format >> 16 & 0xff);

        if metadata != 0 {
            return Err(c"it has metadata");
        }
        if !(SECTOR_SHIFT..=PAGE.ilog2()).contains(&block_shift) {
            return Err(c"its blocks do not have 512 to 4096 bytes");
        }
        match size.checked_mul(1 << (block_shift - SECTOR_SHIFT)) {
            Some(0) => Err(c"it is empty"),
            Some(sectors) if sectors <= MAX_SECTORS => Ok((block_shift, sectors)),
            _ => Err(c"it is larger than a disk can be"),
        }
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
    pub(crate) fn command_timed_out(&self, request: &Request<Nvme<'bound>>) -> Verdict {
        let Some((queue, slot)) = self
            .queue(request.queue())
            .and_then(|queue| Some((queue, queue.slot(request.tag())?)))
        else {
            return Verdict::Wait;
        };

        // In case the interrupt was lost.
        queue.reap();
        let Some(id) = slot.command_id() else {
            // It has just ended, or `queue_rq` is about to submit it, which may be late again.
            return Verdict::Wait;
        };
        let mut control = self.control.lock();
        // Somebody else may have reset the controller, and given the request back.
        if slot.command_id() != Some(id) {
            return Verdict::Wait;
        }

        dev_warn!(
            self.pdev,
            "queue {}: command {id:#x} takes too long, resetting the controller\n",
            queue.id()
        );
        if let Err(error) = self.reset(&mut control, request) {
            dev_err!(self.pdev, "the reset failed: {error:?}\n");
            self.give_up(&mut control);
        }
        Verdict::Done
    }

    /// Keeps commands from the controller, and stops it: from here on the requests of those that it
    /// has can be ended, and no others appear.
    fn halt<'a>(&self, hardware: &'a mut Hardware<'bound>, state: State) -> Stopped<'a, 'bound> {
        for queue in &self.queues {
            queue.set_state(state);
        }
        hardware.stop()
    }

    /// Resets the controller. The request `late` fails, if a command is for it.
    ///
    /// Its tag does not tell: had it been given back before, that can be another request's by now.
    fn reset(&self, control: &mut Control<'bound>, late: &Request<Nvme<'bound>>) -> Result {
        let Control { hardware, admin } = control;
        let stopped = self.halt(hardware, State::Resetting);

        for queue in &self.queues {
            queue.cancel(&stopped, |request| {
                if ptr::eq(&*request, late) {
                    request.fail(ETIMEDOUT);
                } else {
                    request.requeue();
                }
            });
        }
        for queue in &self.queues {
            queue.reset(&stopped)?;
        }
        admin.announce(&stopped)?;
        stopped.start()?;

        // CAST: As many as there were before.
        let wanted = self.queues.len() as u16;
        let count = admin.set_queue_count(wanted)?;
        if count < wanted {
            dev_err!(
                self.pdev,
                "the controller has {count} of its {wanted} queues left\n"
            );
            return Err(EIO);
        }
        self.start_queues(admin)
    }

    /// Has all requests fail, those to come too.
    fn give_up(&self, control: &mut Control<'bound>) {
        let stopped = self.halt(&mut control.hardware, State::Dead);

        for queue in &self.queues {
            queue.cancel(&stopped, |request| request.fail(EIO));
        }
    }

    /// Before the driver detaches: if the device is gone, nobody need wait for it.
    pub(crate) fn check_presence(&self) {
        let mut control = self.control.lock();

        if control.hardware.is_gone() {
            dev_warn!(self.pdev, "the controller is gone\n");
            self.give_up(&mut control);
        }
    }
}
