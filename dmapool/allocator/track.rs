// SPDX-License-Identifier: GPL-2.0

//! Who has which blocks: what is noted of their owners, put together for people.

use super::super::sys::prelude::*;
use super::{
    free::Allocated,
    owner::Owner,
    pool::RawPool,
    slab::Slab, //
};

/// The most places of which it is said what they have.
const MOST_SITES: usize = 16;

/// Blocks that were allocated from one place.
pub(crate) struct Site {
    blocks: u64,
    /// Of the block that was allocated first.
    oldest: Owner,
    dma: DmaAddress,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            blocks,
            oldest,
            dma,
        } = self;

        f.write_fmt(fmt!("{blocks} blocks, the oldest at {dma:#x}, by {oldest}"))
    }
}

impl Site {
    /// Adds a block to `site`, which is of its place, or of none yet.
    fn add(site: &mut Option<Self>, owner: Owner, dma: DmaAddress) {
        let blocks = site.as_ref().map_or(0, |site| site.blocks).wrapping_add(1);

        match site {
            Some(site) if site.oldest.when <= owner.when => site.blocks = blocks,
            _ => {
                *site = Some(Self {
                    blocks,
                    oldest: owner,
                    dma,
                })
            }
        }
    }

    pub(crate) fn age(&self) -> u64 {
        u64::MAX.wrapping_sub(self.oldest.when)
    }
}

impl RawPool<'_> {
    /// Notes who allocates `block`.
    pub(crate) fn track(&self, block: &Allocated<'_>, flags: Flags) {
        let Some(track) = block.track(&self.layout) else {
            return;
        };
        let owner = if self.init.track {
            Owner::caller(flags)
        } else {
            Owner::default()
        };

        track.begin(owner, block.dma_address());
    }

    /// Says who has allocated the block of `bit`, which is none of a twin and at `dma`, last. If
    /// nobody has, since it is there, it says nothing.
    pub(crate) fn report_owner(&self, slab: Slab<'_>, bit: u32, dma: DmaAddress) {
        if let Some(track) = slab
            .track_of(bit, &self.layout)
            .filter(|track| self.init.track && track.was_at(dma))
        {
            let owner = track.owner();

            self.err(fmt!("it was allocated last by {owner}"));
            owner.print_stack();
        }
    }

    /// Puts the blocks that have an owner into `sites`, by the places where they were allocated.
    /// Returns how many are from places for which there is no room.
    fn sort_by_site(&self, sites: &mut [Option<Site>]) -> u64 {
        let mut others = 0u64;
        let bits = 0..self.layout.bits();
        let tracks = self.slabs().flat_map(|slab| {
            bits.clone()
                .filter_map(move |bit| slab.track_of(bit, &self.layout))
        });

        for track in tracks {
            let Some(dma) = track.live_at() else {
                continue;
            };
            let oldest = track.owner();
            let is_its = |site: &&mut Option<Site>| {
                site.as_ref()
                    .is_none_or(|site| site.oldest.site == oldest.site)
            };

            match sites.iter_mut().find(is_its) {
                Some(site) => Site::add(site, oldest, dma),
                None => others = others.wrapping_add(1),
            }
        }
        others
    }

    /// Passes these places to `show`, the one with the largest `key` first. Returns how many blocks
    /// are from others. Process context; may sleep.
    ///
    /// # Errors
    ///
    /// Those of `show`, or that there is no memory.
    pub(crate) fn for_each_site(
        &self,
        key: impl Fn(&Site) -> u64,
        mut show: impl FnMut(&Site) -> fmt::Result,
    ) -> Result<u64, fmt::Error> {
        if !self.init.track {
            return Ok(0);
        }
        // Not on the stack, which has no room for so many.
        let place = |_| Ok::<_, Error>(None);
        let sites = KVBox::pin_slice(place, MOST_SITES, GFP_KERNEL).map_err(|_| fmt::Error)?;
        let mut sites = Pin::into_inner(sites);
        let others = self.sort_by_site(&mut sites);

        while let Some(site) = sites
            .iter_mut()
            .filter(|site| site.is_some())
            .max_by_key(|site| site.as_ref().map(&key))
            .and_then(Option::take)
        {
            show(&site)?;
        }
        Ok(others)
    }

    /// Says who has not freed what, the place with the most blocks first.
    pub(crate) fn report_leaks(&self) {
        let report = |site: &Site| {
            self.err(fmt!("{site}"));
            site.oldest.print_stack();
            Ok(())
        };
        if let Ok(others @ 1..) = self.for_each_site(|site| site.blocks, report) {
            self.err(fmt!("{others} blocks from other places"));
        }
    }
}
