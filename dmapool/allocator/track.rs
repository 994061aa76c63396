// SPDX-License-Identifier: GPL-2.0

//! Who has which blocks: what is noted of their owners, put together for people.

use super::super::sys::prelude::*;
use super::{
    owner::{
        Owner,
        Track, //
    },
    policy::parameters,
    pool::RawPool,
    slab::Slab, //
};

/// The most places of which it is said what they have.
const MOST_SITES: usize = 16;

/// Blocks that were allocated from one place.
#[derive(Clone, Copy, Default)]
pub(crate) struct Site {
    pub(crate) blocks: u64,
    /// Of the block that was allocated first.
    pub(crate) oldest: Owner,
}

impl Site {
    fn add(&mut self, owner: Owner) {
        if self.blocks == 0 || owner.when < self.oldest.when {
            self.oldest = owner;
        }
        self.blocks = self.blocks.wrapping_add(1);
    }
}

impl RawPool<'_> {
    /// Says who has allocated the block of `bit`, which is none of a twin and at `dma`, last. If
    /// nobody has, since it is there, it says nothing.
    pub(crate) fn report_owner(&self, slab: Slab<'_>, bit: u32, dma: DmaAddress) {
        if let Some(track) = slab.track_of(bit, &self.layout) {
            let owner = track.owner();

            if owner.when != 0 && owner.dma == dma {
                self.err(fmt!("it was allocated last by {owner}"));
                owner.print_stack();
            }
        }
    }

    /// Has `show` say for each place how many blocks it has, and who has had one for longest, the
    /// place with the largest `key` first. Process context; may sleep.
    pub(crate) fn for_each_site(
        &self,
        key: impl Fn(&Site) -> u64,
        mut show: impl FnMut(fmt::Arguments<'_>, &Owner) -> fmt::Result,
    ) -> fmt::Result {
        if !parameters().track {
            return Ok(());
        }
        // Not on the stack, which has no room for so many.
        let site = |_| Ok::<_, Error>(Site::default());
        let sites = KVBox::pin_slice(site, MOST_SITES, GFP_KERNEL).map_err(|_| fmt::Error)?;
        let mut sites = Pin::into_inner(sites);
        let mut others = 0u64;
        let bits = 0..self.layout.bits();
        let tracks = self.slabs().flat_map(|slab| {
            bits.clone()
                .filter_map(move |bit| slab.track_of(bit, &self.layout))
        });

        for owner in tracks.filter(|track| track.is_live()).map(Track::owner) {
            let is_its = |site: &&mut Site| site.blocks == 0 || site.oldest.site == owner.site;

            match sites.iter_mut().find(is_its) {
                Some(site) => site.add(owner),
                None => others = others.wrapping_add(1),
            }
        }
        while let Some(site) = sites
            .iter_mut()
            .filter(|site| site.blocks != 0)
            .max_by_key(|site| key(site))
        {
            let Site { blocks, oldest } = mem::take(site);
            let dma = oldest.dma;

            show(
                fmt!("{blocks} blocks, the oldest at {dma:#x}, by {oldest}"),
                &oldest,
            )?;
        }
        if others != 0 {
            show(fmt!("{others} blocks from other places"), &Owner::default())?;
        }
        Ok(())
    }

    /// Says who has not freed what, the place with the most blocks first.
    pub(crate) fn report_leaks(&self) {
        let _ = self.for_each_site(
            |site| site.blocks,
            |line, oldest| {
                self.err(line);
                oldest.print_stack();
                Ok(())
            },
        );
    }
}
