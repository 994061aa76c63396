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
    device::Bound,
    io::{
        poll::read_poll_timeout,
        Io, //
    },
    pci,
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// The switch of a controller, which is off when this is made and when it is dropped.
///
/// A controller that is off does not touch memory. So whatever it was given the address of must
/// be freed after this is dropped.
pub(crate) struct Hardware<'bound> {
    pdev: &'bound pci::Device<Bound>,
    bar: Arc<Bar<'bound>>,
    /// How long switching may take.
    timeout: Delta,
}

impl<'bound> Hardware<'bound> {
    pub(crate) fn new(pdev: &'bound pci::Device<Bound>, bar: &Arc<Bar<'bound>>) -> Result<Self> {
        let (capabilities, high) = (bar.read(CAP), bar.read(CAP_HIGH));

        if !high.nvm().into_bool() || high.mpsmin().get() != 0 {
            dev_err!(pdev, "not a controller for memory with pages of 4 KiB\n");
            return Err(ENODEV);
        }
        let hardware = Self {
            pdev,
            bar: bar.clone(),
            // Rounded up: it may be 0.
            timeout: Delta::from_millis(
                i64::from(capabilities.to().get())
                    .wrapping_add(1)
                    .wrapping_mul(500),
            ),
        };

        hardware.disable()?;
        Ok(hardware)
    }

    /// Entries in a queue at most.
    pub(crate) fn max_depth(&self) -> u16 {
        // CAST: The field has 16 bits.
        (self.bar.read(CAP).mqes().get() as u16).saturating_add(1)
    }

    /// Whether the device does not answer any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.bar.read(CSTS).into_raw() == GONE || !bridge::is_present(self.pdev)
    }

    /// Switches the controller on, after it was told where the admin queues are.
    pub(crate) fn enable(&self) -> Result {
        self.bar.write_reg(
            CC::zeroed()
                .with_const_iosqes::<6>()
                .with_const_iocqes::<4>()
                .with_const_en::<1>(),
        );
        self.wait_for(|status| status.rdy().into_bool())
    }

    /// Switches the controller off. It forgets all queues and commands.
    ///
    /// # Errors
    ///
    /// If it does not say that it is off, it is not let at memory any more, and is good for
    /// nothing.
    pub(crate) fn disable(&self) -> Result {
        self.bar
            .update(CC, |configuration| configuration.with_const_en::<0>());
        self.wait_for(|status| !status.rdy().into_bool())
            .inspect_err(|_| bridge::stop_dma(self.pdev))
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
            || match self.bar.read(CSTS) {
                status if status.into_raw() == GONE => Err(ENODEV),
                status => Ok(status),
            },
            |&status| is_so(status),
            Delta::from_micros(100),
            self.timeout,
        )
        .map(|_| ())
    }
}

impl Drop for Hardware<'_> {
    fn drop(&mut self) {
        // Nobody need wait for a device that is gone.
        if self.is_gone() || self.shut_down().and_then(|()| self.disable()).is_err() {
            dev_warn!(self.pdev, "the controller could not be shut down\n");
            bridge::stop_dma(self.pdev);
        }
    }
}
