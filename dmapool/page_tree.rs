// SPDX-License-Identifier: GPL-2.0

//! The page tree: all pages of a pool by number, and a way to a page of the kind that is sought
//! which passes by those that are not.
//!
//! The first 64 numbers stand in a subtree of height 0, which is a single leaf, the next 4,096 in
//! one of height 1, and so on. A subtree never changes its shape, and neither nodes nor pages leave
//! it before the pool is destroyed; that is what makes it safe to walk without a lock.
//!
//! A CPU that adds a page has a leaf for that, which it fills, and then another one. So CPUs search
//! and announce in different leaves, and have a cache line in common only where they go further up.
//!
//! A search follows the summaries of the nodes. One that finds a stale bit clears it, looks again,
//! and sets it again if it was wrong.

use crate::{
    node::{
        Kind,
        Node,
        FANOUT, //
    },
    page::{
        Page,
        Record, //
    },
};
use core::{
    array,
    ptr::{
        self,
        null_mut,
        NonNull, //
    },
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
};

/// Subtrees of a page tree; the last one has this height less one.
const SUBTREES: usize = 4;

/// The most leaves of its own that a CPU looks into before it searches the whole tree.
const MOST_OWN: usize = 8;

/// What the children of a node are, and how they are searched.
impl Node {
    /// The page in `slot`, if this is a leaf and has one there.
    fn child_page(&self, slot: u32) -> Option<Page<'_>> {
        if self.height() != 0 {
            return None;
        }
        let child = self.child(slot)?;

        // SAFETY: By the type invariants this is a record, which lives as long as the tree.
        Some(unsafe { Page::from_raw(child.cast::<Record>()) })
    }

    /// The node in `slot`, if this is not a leaf and has one there.
    fn child_node(&self, slot: u32) -> Option<&Node> {
        if self.height() == 0 {
            return None;
        }
        let child = self.child(slot)?;

        // SAFETY: By the type invariants this is a node, which lives as long as the tree.
        Some(unsafe { child.cast::<Node>().as_ref() })
    }

    /// Finds a page of `kind` below this node, in the slots from `from` on, and takes its
    /// announcement, so that no other search finds it.
    fn find_below(&self, kind: Kind, from: u32) -> Option<Page<'_>> {
        let summary = self.summary(kind);

        if self.height() == 0 {
            return self.child_page(summary.take_from(from)?);
        }
        while let Some(slot) = summary.first_from(from) {
            let child = self.child_node(slot)?;

            // At most `SUBTREES` levels deep.
            if let Some(page) = child.find_below(kind, 0) {
                return Some(page);
            }
            // The bit was stale. Clear it, but then look again: whoever announced something in the
            // meantime may have found it still set. `clear` acquires, so what was announced before
            // it is seen now, and what comes later sets the bit itself.
            summary.clear(slot);
            if !child.summary(kind).is_empty() {
                self.announce(kind, slot);
            }
        }
        None
    }
}

/// The page tree of a pool.
///
/// # Invariants
///
/// Root n is null or points to the root of a subtree of height n, allocated as a [`KBox`], that the
/// tree owns. The pages of a leaf stand in its first slots, and those below `len` that are in use
/// are all that there are.
pub(crate) struct PageTree {
    roots: [Atomic<*mut Node>; SUBTREES],
    /// The first number of the leaf that is made next.
    len: Atomic<u32>,
}

// SAFETY: All that changes in a tree is atomic.
unsafe impl Send for PageTree {}
// SAFETY: As above.
unsafe impl Sync for PageTree {}

/// Where page `number` stands: the height of its subtree, and its number in there.
///
/// Nothing overflows: the largest subtree has 64^4 pages.
fn locate(number: u32) -> Option<(u32, u32)> {
    let mut height = 0;
    let mut rest = number;
    let mut pages = FANOUT;

    while rest >= pages {
        rest = rest.wrapping_sub(pages);
        height = 1u32.wrapping_add(height);
        if height as usize == SUBTREES {
            return None;
        }
        pages = pages.wrapping_mul(FANOUT);
    }
    Some((height, rest))
}

/// The slot at `height` on the way to page `number` of a subtree.
fn slot_at(height: u32, number: u32) -> u32 {
    number.wrapping_shr(height.wrapping_mul(FANOUT.ilog2())) % FANOUT
}

impl PageTree {
    pub(crate) fn new() -> Self {
        // INVARIANT: There is no subtree and no page.
        Self {
            roots: array::from_fn(|_| Atomic::new(null_mut())),
            len: Atomic::new(0),
        }
    }

    /// The leaf in which page `number` stands, if there is one.
    fn leaf(&self, number: u32) -> Option<&Node> {
        let (mut height, number) = locate(number)?;
        let mut node = self.root(height)?;

        while height > 0 {
            node = node.child_node(slot_at(height, number))?;
            height = height.wrapping_sub(1);
        }
        Some(node)
    }

    /// Page `number`, if there is one.
    pub(crate) fn get(&self, number: u32) -> Option<Page<'_>> {
        self.leaf(number)?.child_page(slot_at(0, number))
    }

    /// All pages, unpopulated ones included, in the order of their numbers.
    pub(crate) fn pages(&self) -> impl Iterator<Item = Page<'_>> {
        // Acquire: pairs with the step in `insert`.
        let leaves = self.len.load(Acquire) / FANOUT;

        (0..leaves)
            .filter_map(|leaf| self.leaf(leaf.wrapping_mul(FANOUT)))
            .flat_map(|leaf| (0..FANOUT).map_while(|slot| leaf.child_page(slot)))
    }

    /// Finds a page of `kind` in the leaves to which a CPU adds pages, the last one being `added`,
    /// and takes its announcement.
    ///
    /// The search begins after `last`, which is in one of these leaves, and goes round: from newer
    /// leaves to older ones, as far as there are not too many.
    pub(crate) fn find_own<'a>(
        &'a self,
        kind: Kind,
        last: Page<'a>,
        added: Page<'a>,
    ) -> Option<Page<'a>> {
        let (first, newest) = (last.leaf()?, added.leaf()?);
        let mut leaf = first;
        let mut from = last.slot().wrapping_add(1);

        for _ in 0..MOST_OWN {
            if let Some(slot) = leaf.summary(kind).take_from(from) {
                return leaf.child_page(slot);
            }
            if from == 0 && ptr::eq(leaf, first) {
                break;
            }
            from = 0;
            leaf = leaf.older().unwrap_or(newest);
        }
        None
    }

    /// Finds a page of `kind`, and takes its announcement.
    ///
    /// The search begins after `last`, if that is in the tree, and goes on from the beginning when
    /// it reaches the end. So blocks that are freed into a page become many before it is its turn
    /// again, and CPUs keep apart.
    pub(crate) fn find<'a>(&'a self, kind: Kind, last: Page<'a>) -> Option<Page<'a>> {
        let mut node = last.leaf();
        let mut slot = last.slot();
        let mut height = 0u32;

        while let Some(this) = node {
            if let Some(page) = this.find_below(kind, slot.wrapping_add(1)) {
                return Some(page);
            }
            height = this.height().wrapping_add(1);
            (node, slot) = match this.parent() {
                Some((parent, slot)) => (Some(parent), slot),
                None => (None, 0),
            };
        }
        [height, 0]
            .into_iter()
            .flat_map(|height| self.roots_from(height))
            .find_map(|root| root.find_below(kind, 0))
    }

    /// The roots of the subtrees of `height` and more.
    fn roots_from(&self, height: u32) -> impl Iterator<Item = &Node> {
        // CAST: A small constant.
        (height..SUBTREES as u32).map_while(|height| self.root(height))
    }

    /// Adds `page`, and does not announce it: in the leaf of `beside`, or, if that has no room or
    /// `beside` is in no tree, in a leaf that has no page yet.
    ///
    /// Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if a node cannot be allocated or the tree is full; the page is then still the
    /// caller's alone.
    ///
    /// # Safety
    ///
    /// - `pool` must be the pool to which the tree belongs, as [`Node`] asks for it.
    /// - The caller must be the only one who has `page`, and must not free it if this succeeds.
    pub(crate) unsafe fn insert(
        &self,
        pool: NonNull<c_void>,
        page: Page<'_>,
        beside: Page<'_>,
        flags: Flags,
    ) -> Result {
        if let Some(leaf) = beside.leaf() {
            let first = beside.number().wrapping_sub(beside.slot());

            // SAFETY: The page is the caller's alone, who does not free it if this succeeds.
            if unsafe { Self::insert_into(leaf, first, beside.slot().wrapping_add(1), page) } {
                return Ok(());
            }
        }
        loop {
            // Relaxed: the exchange decides.
            let first = self.len.load(Relaxed);
            // SAFETY: The caller vouches for `pool`.
            let leaf = unsafe { self.leaf_or_new(pool, first, flags)? };

            // Full: releases the leaf to those who load the length.
            let next = first.wrapping_add(FANOUT);
            if self.len.cmpxchg(first, next, Full).is_err() {
                continue;
            }
            if let Some(older) = beside.leaf() {
                // SAFETY: Both are leaves of this tree, and this thread alone has stepped on.
                unsafe { leaf.set_older(older) };
            }
            // SAFETY: The page is the caller's alone, who does not free it if this succeeds.
            if unsafe { Self::insert_into(leaf, first, 0, page) } {
                return Ok(());
            }
        }
    }

    /// Adds `page` to `leaf`, in which page `first` is the first one and `used` slots or more are
    /// in use. Returns whether there was room for it.
    ///
    /// # Safety
    ///
    /// - `leaf` must be a leaf, and `first` the number that the page in its first slot has. The
    ///   first `used` slots must be in use.
    /// - The caller must be the only one who has `page`, and must not free it if this succeeds.
    unsafe fn insert_into(leaf: &Node, first: u32, used: u32, page: Page<'_>) -> bool {
        (used..FANOUT)
            .filter(|slot| leaf.child(*slot).is_none())
            // INVARIANT: All slots before this one are in use.
            // SAFETY: The page is in no tree before `adopt` succeeds, and is the caller's alone.
            // `leaf` has height 0, and the caller does not free the page.
            .any(|slot| unsafe {
                page.link(leaf, first.wrapping_add(slot));
                leaf.adopt(slot, page.as_raw())
            })
    }

    fn root(&self, height: u32) -> Option<&Node> {
        // Acquire: pairs with the exchange in `root_or_new`.
        let root = self.roots.get(height as usize)?.load(Acquire);

        // SAFETY: By the type invariants it is null or a node that lives as long as the tree.
        unsafe { root.as_ref() }
    }

    /// The root of the subtree of `height`, which is made if there is none.
    ///
    /// # Safety
    ///
    /// `pool` must be the pool to which the tree belongs.
    unsafe fn root_or_new(
        &self,
        pool: NonNull<c_void>,
        height: u32,
        flags: Flags,
    ) -> Result<&Node> {
        if let Some(root) = self.root(height) {
            return Ok(root);
        }

        // SAFETY: The caller vouches for `pool`. A root has no parent.
        let root = KBox::into_raw(unsafe { Node::new(pool, None, height, flags)? });
        let entry = self.roots.get(height as usize).ok_or(ENOMEM)?;
        // INVARIANT: Only null is replaced. Full: releases the node's contents.
        if entry.cmpxchg(null_mut(), root, Full).is_err() {
            // SAFETY: `root` was made above, and nobody has seen it.
            drop(unsafe { KBox::from_raw(root) });
        }
        self.root(height).ok_or(ENOMEM)
    }

    /// The leaf for page `number`, which is made, with all nodes above it, if there is none.
    ///
    /// # Safety
    ///
    /// `pool` must be the pool to which the tree belongs.
    unsafe fn leaf_or_new(
        &self,
        pool: NonNull<c_void>,
        number: u32,
        flags: Flags,
    ) -> Result<&Node> {
        let (mut height, number) = locate(number).ok_or(ENOMEM)?;
        // SAFETY: The caller vouches for `pool`.
        let mut node = unsafe { self.root_or_new(pool, height, flags)? };

        while height > 0 {
            let slot = slot_at(height, number);
            height = height.wrapping_sub(1);

            if node.child_node(slot).is_none() {
                // SAFETY: The caller vouches for `pool`, and `node` is above the new one.
                let child = unsafe { Node::new(pool, Some((node, slot)), height, flags)? };
                let child = KBox::into_raw(child);
                // SAFETY: `child` is a new node whose height is less by one, and is freed only
                // here, where nobody has seen it, or together with the tree.
                unsafe {
                    if !NonNull::new(child).is_some_and(|child| node.adopt(slot, child)) {
                        drop(KBox::from_raw(child));
                    }
                }
            }
            node = node.child_node(slot).ok_or(ENOMEM)?;
        }
        Ok(node)
    }
}

impl Drop for PageTree {
    /// Frees the nodes. Freeing the pages is up to the pool.
    fn drop(&mut self) {
        for root in &self.roots {
            // Relaxed: `&mut self` means that nobody else is here.
            if let Some(root) = NonNull::new(root.load(Relaxed)) {
                // SAFETY: The tree owns its nodes, and nobody can look at them any more.
                unsafe { free_nodes(root) };
            }
        }
    }
}

/// Frees `root` and all nodes below it; at most [`SUBTREES`] levels deep.
///
/// # Safety
///
/// `root` must be a node that was allocated as a [`KBox`] and that nobody uses any more.
unsafe fn free_nodes(root: NonNull<Node>) {
    // SAFETY: The node is a box, and its last user is the caller.
    let node = unsafe { KBox::from_raw(root.as_ptr()) };

    for slot in 0..FANOUT {
        if let Some(child) = node.child_node(slot).map(NonNull::from) {
            // SAFETY: The child was allocated in the same way, and its parent was its only user.
            unsafe { free_nodes(child) };
        }
    }
}
