// SPDX-License-Identifier: GPL-2.0

//! Enabling, disabling and shutting down a controller.

use crate::{
    bridge,
    registers::{
        Bar,
        CAP,
        CAP_HIGH,
        CC,
        CSTS,
        GONE, //
    }, //
};
use kernel::{
    device::{
        Bound,
        Core, //
    },
    io::{
        poll::read_poll_timeout,
        Io, //
    },
    pci,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

/// The switch of a controller, which is off when this is dropped.
///
/// Whatever the controller was given the address of must be freed after that.
pub(crate) struct Hardware<'bound> {
    pdev: &'bound pci::Device<Bound>,
    bar: Arc<Bar<'bound>>,
    /// How long switching may take.
    timeout: Delta,
    /// Entries in a queue at most.
    max_depth: u16,
    /// It did not do as it was told, and is kept from memory for good.
    isolated: bool,
}

/// A controller that does not touch memory, as long as this exists.
///
/// Whoever ends requests, or has the driver and the controller begin anew, needs one.
pub(crate) struct Stopped<'a, 'bound>(&'a mut Hardware<'bound>);

impl<'bound> Hardware<'bound> {
    pub(crate) fn new(pdev: &'bound pci::Device<Bound>, bar: &Arc<Bar<'bound>>) -> Result<Self> {
        let (capabilities, high) = (bar.read(CAP), bar.read(CAP_HIGH));

        if capabilities.into_raw() == GONE && high.into_raw() == GONE {
            dev_err!(pdev, "the controller does not answer\n");
            return Err(ENODEV);
        }
        if !high.nvm().into_bool() || high.mpsmin().get() != 0 {
            dev_err!(pdev, "not a controller for memory with pages of 4 KiB\n");
            return Err(ENODEV);
        }
        // CAST: The field has 16 bits.
        let last_entry = capabilities.mqes().get() as u16;
        if last_entry == 0 {
            dev_err!(pdev, "the controller's queues have room for no command\n");
            return Err(ENODEV);
        }
        Ok(Self {
            pdev,
            bar: bar.clone(),
            // Rounded up: it may be 0.
            timeout: Delta::from_millis(
                i64::from(capabilities.to().get())
                    .wrapping_add(1)
                    .wrapping_mul(500),
            ),
            max_depth: last_entry.saturating_add(1),
            isolated: false,
        })
    }

    /// Entries in a queue at most, and two at least.
    pub(crate) fn max_depth(&self) -> u16 {
        self.max_depth
    }

    /// Whether the device does not answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.status().is_err() || !bridge::is_present(self.pdev)
    }

    /// What the controller says, if that comes from one: registers for which nobody answers read
    /// as ones, or as zeroes, which alone would say that it is off.
    fn status(&self) -> Result<CSTS> {
        let status = self.bar.read(CSTS);

        if status.into_raw() == GONE || self.bar.read(CAP).mqes().get() == 0 {
            return Err(ENODEV);
        }
        Ok(status)
    }

    /// Stops the controller, which then forgets all queues and commands. If it does not say that it
    /// has, it is kept from memory, and is good for nothing.
    ///
    /// Process context; may sleep.
    pub(crate) fn stop(&mut self) -> Stopped<'_, 'bound> {
        if !self.isolated {
            if let Err(error) = self.disable() {
                self.isolate(c"does not stop", error);
            }
        }
        Stopped(self)
    }

    fn disable(&self) -> Result {
        let (was_ready, was_enabled) = (self.status()?.rdy().into_bool(), self.is_enabled());

        self.bar
            .update(CC, |configuration| configuration.with_const_en::<0>());
        // One that has failed need not be ready, and yet be at work: it gets all its time.
        if was_enabled && !was_ready {
            fsleep(self.timeout);
        }
        self.wait_for(|status| !status.rdy().into_bool() && !self.is_enabled())
    }

    fn is_enabled(&self) -> bool {
        self.bar.read(CC).en().into_bool()
    }

    fn isolate(&mut self, why: &CStr, error: Error) {
        dev_warn!(
            self.pdev,
            "the controller {why} ({error:?}), it is kept from memory\n"
        );
        bridge::stop_dma(self.pdev);
        self.isolated = true;
    }

    /// Has the controller write back what it caches.
    fn shut_down(&self) -> Result {
        const COMPLETE: u32 = 2;

        self.bar
            .update(CC, |configuration| configuration.with_const_shn::<1>());
        self.wait_for(|status| status.shst().get() == COMPLETE)
    }

    fn wait_for(&self, mut is_so: impl FnMut(CSTS) -> bool) -> Result {
        read_poll_timeout(
            || self.status(),
            |&status| is_so(status),
            Delta::from_micros(100),
            self.timeout,
        )
        .map(|_| ())
    }
}

impl Stopped<'_, '_> {
    /// Lets the controller touch memory, once it is told to start. Before, whoever had it last may
    /// have left it running, and what it then knows of is not its memory any more.
    pub(crate) fn let_to_memory(&self, pdev: &pci::Device<Core<'_>>) -> Result {
        if self.0.isolated {
            return Err(ENODEV);
        }
        pdev.set_master();
        Ok(())
    }

    /// Starts the controller, which was told where the admin queues are.
    pub(crate) fn start(self) -> Result {
        let Self(hardware) = self;

        if hardware.isolated {
            return Err(ENODEV);
        }
        hardware.bar.write_reg(
            CC::zeroed()
                .with_const_iosqes::<6>()
                .with_const_iocqes::<4>()
                .with_const_en::<1>(),
        );
        // One that never was ready would at once seem to have stopped.
        hardware
            .wait_for(|status| status.rdy().into_bool())
            .inspect_err(|&error| hardware.isolate(c"does not start", error))
    }
}

impl Drop for Hardware<'_> {
    fn drop(&mut self) {
        // Nobody need wait for a device that is gone, nor ask one that is off.
        if !self.is_gone() && self.is_enabled() {
            if let Err(error) = self.shut_down() {
                dev_warn!(
                    self.pdev,
                    "the controller could not be shut down: {error:?}\n"
                );
            }
        }
        self.stop();
    }
}
