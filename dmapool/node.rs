// SPDX-License-Identifier: GPL-2.0

//! A node of the page tree: up to 64 children, and for each kind of page a word that says which of
//! them lead to one.
//!
//! What the children are, pages or more nodes, is the business of `page_tree.rs`. A page knows the
//! node in which it stands, and that is all it needs in order to announce itself.

use crate::bitmap::{
    read_once,
    Word, //
};
use core::{
    array,
    ptr::{
        null_mut,
        NonNull, //
    },
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Release, //
    },
};

/// Children of a node.
pub(crate) const FANOUT: u32 = 64;

/// What a search looks for.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A page that had a free block when it was announced. A CPU may be allocating from it.
    Partial,
    /// A page without blocks, that nobody is about to populate. It has no memory, unless that could
    /// not be entered into the address map.
    Unpopulated,
}

/// A node of the page tree.
///
/// # Invariants
///
/// - A child, once it is not null, never changes, and what it points to lives as long as the tree:
///   a page's record if `height` is 0, or else a node whose height is less by one.
/// - `older` is null or points to another leaf of the same tree, and then never changes.
/// - `parent` is the node whose child `slot` this is, or `None` for a root.
/// - `pool` is the pool to which the tree belongs, as [`RawPool`] knows it, and outlives the tree.
///
/// [`RawPool`]: crate::raw_pool::RawPool
pub(crate) struct Node {
    partial: Word,
    unpopulated: Word,
    parent: Option<NonNull<Node>>,
    slot: u32,
    height: u32,
    pool: NonNull<c_void>,
    older: Atomic<*mut Node>,
    children: [Atomic<*mut c_void>; FANOUT as usize],
}

// SAFETY: All that changes in a node is atomic, and the pointers are as good as shared references.
unsafe impl Send for Node {}
// SAFETY: As above.
unsafe impl Sync for Node {}

impl Node {
    /// A node without children.
    ///
    /// # Safety
    ///
    /// `pool` must be what the type invariants say, and `parent`, if there is one, a node of the
    /// same tree whose height is greater by one, with the slot that this node will be adopted in.
    pub(crate) unsafe fn new(
        pool: NonNull<c_void>,
        parent: Option<(&Node, u32)>,
        height: u32,
        flags: Flags,
    ) -> Result<KBox<Self>> {
        // INVARIANT: All children are null. The caller vouches for the rest.
        Ok(KBox::new(
            Self {
                partial: Word::new(0),
                unpopulated: Word::new(0),
                parent: parent.map(|(node, _)| NonNull::from(node)),
                slot: parent.map_or(0, |(_, slot)| slot),
                height,
                pool,
                older: Atomic::new(null_mut()),
                children: array::from_fn(|_| Atomic::new(null_mut())),
            },
            flags,
        )?)
    }

    /// The pool to which the tree belongs. [`RawPool::of`] gives it its type.
    ///
    /// [`RawPool::of`]: crate::raw_pool::RawPool::of
    #[inline]
    pub(crate) fn pool(&self) -> NonNull<c_void> {
        self.pool
    }

    /// How many levels of nodes there are below this one; 0 if the children are pages.
    pub(crate) fn height(&self) -> u32 {
        self.height
    }

    /// The node above, and the slot of `self` in it.
    pub(crate) fn parent(&self) -> Option<(&Node, u32)> {
        // SAFETY: By the type invariants the parent is a node, and lives as long as the tree.
        let parent = unsafe { self.parent?.as_ref() };

        Some((parent, self.slot))
    }

    /// For a leaf, the one to which the CPU that adds pages here has added them before.
    pub(crate) fn older(&self) -> Option<&Node> {
        // SAFETY: By the type invariants it is null or a node, which lives as long as the tree.
        // What is loaded through the pointer depends on its address, as in `child`.
        unsafe { read_once(&self.older).as_ref() }
    }

    /// Makes `older` the one to which this CPU has added pages before.
    ///
    /// # Safety
    ///
    /// Both must be leaves of the same tree, `older` must be in use for longer, and this be called
    /// once for each.
    pub(crate) unsafe fn set_older(&self, older: &Node) {
        // INVARIANT: The caller vouches for `older`, and for there having been none.
        // Release: the leaf is seen through this as this thread has seen it.
        self.older.store(NonNull::from(older).as_ptr(), Release);
    }

    /// Bit n is set if child n may be, or have below it, a page of `kind`. A set bit can be stale;
    /// a clear one is right, except for the moment before somebody sets it.
    #[inline]
    pub(crate) fn summary(&self, kind: Kind) -> &Word {
        match kind {
            Kind::Partial => &self.partial,
            Kind::Unpopulated => &self.unpopulated,
        }
    }

    /// The child in `slot`, if there is one.
    ///
    /// What is loaded through the pointer depends on its address, as with C's `rcu_dereference()`,
    /// and so is seen as [`Node::adopt`] released it.
    #[inline]
    pub(crate) fn child(&self, slot: u32) -> Option<NonNull<c_void>> {
        NonNull::new(read_once(self.children.get(slot as usize)?))
    }

    /// Makes `child` the child in `slot` if there is none, and returns whether it did.
    ///
    /// # Safety
    ///
    /// `child` must be what the type invariants say of children at this height.
    pub(crate) unsafe fn adopt<T>(&self, slot: u32, child: NonNull<T>) -> bool {
        // INVARIANT: Only null is ever replaced, by what the caller vouches for.
        // Full: releases the child's contents to those who load the pointer.
        self.children.get(slot as usize).is_some_and(|entry| {
            entry
                .cmpxchg(null_mut(), child.as_ptr().cast(), Full)
                .is_ok()
        })
    }

    /// Announces that child `slot` is a page of `kind`, or has one below it.
    ///
    /// Each bit is set only after what it announces. Whoever sets the first bit of a node tells its
    /// parent; all others find that told, or being told.
    pub(crate) fn announce(&self, kind: Kind, slot: u32) {
        let (mut node, mut slot) = (self, slot);

        while node.summary(kind).set(slot) {
            match node.parent() {
                Some((parent, above)) => (node, slot) = (parent, above),
                None => break,
            }
        }
    }

    /// Whether a search for `kind` from the root can come to child `slot`.
    #[cfg(CONFIG_RUST_DMAPOOL_KUNIT_TEST)]
    pub(crate) fn leads_to(&self, kind: Kind, slot: u32) -> bool {
        let mut above = Some((self, slot));

        while let Some((node, slot)) = above {
            if !node.summary(kind).contains(slot) {
                return false;
            }
            above = node.parent();
        }
        true
    }
}
