// SPDX-License-Identifier: GPL-2.0

//! The page table: all pages of a pool by number, and a way to one that has what is sought
//! without looking at those that have not.
//!
//! Pages hang in trees of [`FANOUT`] children a node: the first 64 in a tree of height 0, which is
//! a single leaf, the next 4,096 in a tree of height 1, and so on. A tree never changes its shape,
//! and neither nodes nor pages leave it before the pool is dropped; that is what makes it safe to
//! walk without a lock.
//!
//! Each node has a summary word for each [`Kind`] of page: bit n is set if child n may be, or may
//! have below it, such a page. "May" is one-sided: a set bit can be stale, a clear one cannot,
//! except for the moment in which somebody is about to set it. A search that finds a stale bit
//! clears it, looks again, and sets it again if it was wrong.

use crate::{
    bitmap::{
        read_once,
        Word, //
    },
    common::Common,
    current::{
        here,
        Current, //
    },
    page::{
        Page,
        Record, //
    },
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
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
};

/// Children of a node.
const FANOUT: u32 = 64;

/// Trees of a table; the last one has this height less one.
const TREES: usize = 4;

/// What a search looks for.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A page with a free block that no CPU works on.
    Free,
    /// A page that has no blocks, and that nobody is about to give any.
    Vacant,
}

/// A node of the page table.
///
/// # Invariants
///
/// - A child of a node of height 0 is null or points to a [`Record`], one of a higher node is null
///   or points to a [`Node`] whose height is less by one. Once not null, it never changes, and
///   what it points to lives as long as the table.
/// - `parent` is the node whose child `slot` this is, or `None` for the root of a tree.
/// - `common` is that of the pool, and lives as long as the table.
pub(crate) struct Node {
    free: Word,
    vacant: Word,
    parent: Option<NonNull<Node>>,
    slot: u32,
    height: u32,
    common: NonNull<Common>,
    children: [Atomic<*mut c_void>; FANOUT as usize],
}

// SAFETY: All that changes in a node is atomic, and the pointers are as good as shared references.
unsafe impl Send for Node {}
// SAFETY: As above.
unsafe impl Sync for Node {}

impl Node {
    fn new(
        common: NonNull<Common>,
        parent: Option<(&Node, u32)>,
        height: u32,
        flags: Flags,
    ) -> Result<KBox<Self>> {
        // INVARIANT: All children are null.
        Ok(KBox::new(
            Self {
                free: Word::new(0),
                vacant: Word::new(0),
                parent: parent.map(|(node, _)| NonNull::from(node)),
                slot: parent.map_or(0, |(_, slot)| slot),
                height,
                common,
                children: array::from_fn(|_| Atomic::new(null_mut())),
            },
            flags,
        )?)
    }

    /// What the pages of the pool have in common.
    #[inline]
    pub(crate) fn common(&self) -> &Common {
        // SAFETY: By the type invariants.
        unsafe { self.common.as_ref() }
    }

    /// What this CPU works on.
    #[inline]
    pub(crate) fn current(&self) -> &Current {
        // SAFETY: By the type invariants of `Common`.
        unsafe { here(self.common().current.as_ref()) }
    }

    #[inline]
    fn summary(&self, kind: Kind) -> &Word {
        match kind {
            Kind::Free => &self.free,
            Kind::Vacant => &self.vacant,
        }
    }

    /// The node above, and the slot of `self` in it.
    fn parent(&self) -> Option<(&Node, u32)> {
        // SAFETY: By the type invariants the parent is a node, and lives as long as the table.
        let parent = unsafe { self.parent?.as_ref() };

        Some((parent, self.slot))
    }

    /// The child in `slot`, if there is one.
    ///
    /// What is loaded through the pointer depends on its address, as with C's `rcu_dereference()`,
    /// and so is seen as [`Node::adopt`] releases it.
    #[inline]
    fn child(&self, slot: u32) -> Option<NonNull<c_void>> {
        NonNull::new(read_once(self.children.get(slot as usize)?))
    }

    /// The page in `slot`, if this is a leaf and has one there.
    fn child_page(&self, slot: u32) -> Option<Page<'_>> {
        if self.height != 0 {
            return None;
        }
        let child = self.child(slot)?;

        // SAFETY: By the type invariants this is a record, which lives as long as the table.
        Some(unsafe { Page::from_raw(child.cast::<Record>()) })
    }

    /// The node in `slot`, if this is not a leaf and has one there.
    fn child_node(&self, slot: u32) -> Option<&Node> {
        if self.height == 0 {
            return None;
        }
        let child = self.child(slot)?;

        // SAFETY: By the type invariants this is a node, which lives as long as the table.
        Some(unsafe { child.cast::<Node>().as_ref() })
    }

    /// Makes `child` the child in `slot` if there is none, and returns whether it did.
    ///
    /// # Safety
    ///
    /// `child` must be what the type invariants say of children at this height.
    unsafe fn adopt<T>(&self, slot: u32, child: NonNull<T>) -> bool {
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
    /// Each bit is set only after what it announces, and a node's parent is told only by the one
    /// who set the node's first bit: the others find the announcement made or under way.
    pub(crate) fn announce(&self, kind: Kind, slot: u32) {
        let (mut node, mut slot) = (self, slot);

        while node.summary(kind).set(slot) {
            match node.parent() {
                Some((parent, above)) => (node, slot) = (parent, above),
                None => break,
            }
        }
    }

    /// Finds a page of `kind` below this node, in the slots from `from` on, and takes its
    /// announcement, so that no other search finds it.
    fn find_below(&self, kind: Kind, from: u32) -> Option<Page<'_>> {
        let summary = self.summary(kind);

        if self.height == 0 {
            return self.child_page(summary.take_from(from)?);
        }
        while let Some(slot) = summary.first_from(from) {
            let child = self.child_node(slot)?;

            // At most `TREES` levels deep.
            if let Some(page) = child.find_below(kind, 0) {
                return Some(page);
            }
            // The bit was stale. Clear it, but then look again: who announced something in the
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

/// The page table of a pool.
///
/// # Invariants
///
/// Tree n is null or points to the root of a tree of height n, allocated as a [`KBox`], that the
/// table owns. All pages below `len` exist. `common` lives as long as the table.
pub(crate) struct Table {
    trees: [Atomic<*mut Node>; TREES],
    len: Atomic<u32>,
    common: NonNull<Common>,
}

// SAFETY: All that changes in a table is atomic, and `common` is as good as a shared reference.
unsafe impl Send for Table {}
// SAFETY: As above.
unsafe impl Sync for Table {}

/// Where page `number` stands: its tree, and its number in that tree.
fn locate(number: u32) -> Option<(u32, u32)> {
    let mut height = 0;
    let mut rest = number;
    let mut pages = FANOUT;

    while rest >= pages {
        rest = rest.wrapping_sub(pages);
        height = 1u32.wrapping_add(height);
        if height as usize == TREES {
            return None;
        }
        pages = pages.wrapping_mul(FANOUT);
    }
    Some((height, rest))
}

/// The slot at `height` on the way to page `number` of a tree.
fn slot_at(height: u32, number: u32) -> u32 {
    number.wrapping_shr(height.wrapping_mul(FANOUT.ilog2())) % FANOUT
}

impl Table {
    /// # Safety
    ///
    /// `common` must be that of the pool, must not move, and live as long as the table.
    pub(crate) unsafe fn new(common: &Common) -> Self {
        // INVARIANT: There is no tree and no page. The caller vouches for `common`.
        Self {
            trees: array::from_fn(|_| Atomic::new(null_mut())),
            len: Atomic::new(0),
            common: NonNull::from(common),
        }
    }

    /// How many pages there are, vacant ones included.
    ///
    /// Acquire: pairs with the step in [`Table::insert`].
    pub(crate) fn len(&self) -> u32 {
        self.len.load(Acquire)
    }

    /// Page `number`, if there is one.
    pub(crate) fn get(&self, number: u32) -> Option<Page<'_>> {
        let (mut height, number) = locate(number)?;
        let mut node = self.root(height)?;

        while height > 0 {
            node = node.child_node(slot_at(height, number))?;
            height = height.wrapping_sub(1);
        }
        node.child_page(slot_at(0, number))
    }

    /// All pages, in the order of their numbers.
    pub(crate) fn pages(&self) -> impl Iterator<Item = Page<'_>> {
        (0..self.len()).filter_map(|number| self.get(number))
    }

    /// Finds a page of `kind`, and takes its announcement.
    ///
    /// The first one after `last`, if that is in the table, and from the beginning when the end is
    /// reached. So blocks that are freed into a page become many before it is its turn again, and
    /// CPUs keep apart.
    pub(crate) fn find<'a>(&'a self, kind: Kind, last: Page<'a>) -> Option<Page<'a>> {
        let mut node = last.leaf();
        let mut slot = last.number() % FANOUT;
        let mut tree = 0u32;

        while let Some(this) = node {
            if let Some(page) = this.find_below(kind, slot.wrapping_add(1)) {
                return Some(page);
            }
            tree = this.height.wrapping_add(1);
            (node, slot) = match this.parent() {
                Some((parent, slot)) => (Some(parent), slot),
                None => (None, 0),
            };
        }
        [tree, 0]
            .into_iter()
            .flat_map(|height| self.roots(height))
            .find_map(|root| root.find_below(kind, 0))
    }

    /// The roots of the trees of `height` and more.
    fn roots(&self, height: u32) -> impl Iterator<Item = &Node> {
        // CAST: A small constant.
        (height..TREES as u32).map_while(|height| self.root(height))
    }

    /// Whether a search for `kind` can come to `page`.
    #[cfg(CONFIG_KUNIT)]
    pub(crate) fn leads_to(page: Page<'_>, kind: Kind) -> bool {
        let mut above = page.leaf().map(|leaf| (leaf, page.number() % FANOUT));

        while let Some((node, slot)) = above {
            if !node.summary(kind).contains(slot) {
                return false;
            }
            above = node.parent();
        }
        true
    }

    /// Announces `page`, which stands in this table, as one of `kind`.
    pub(crate) fn announce(page: Page<'_>, kind: Kind) {
        if let Some(leaf) = page.leaf() {
            leaf.announce(kind, page.number() % FANOUT);
        }
    }

    /// Appends `page`. It is not announced as anything.
    ///
    /// Any context that `flags` allow.
    ///
    /// # Errors
    ///
    /// [`ENOMEM`] if a node cannot be allocated or the table is full; the page is then still the
    /// caller's alone.
    ///
    /// # Safety
    ///
    /// The caller must be the only one who has `page`, and must not free it if this succeeds.
    pub(crate) unsafe fn insert(&self, page: Page<'_>, flags: Flags) -> Result {
        let mut number = self.len();

        loop {
            let leaf = self.leaf(number, flags)?;

            // SAFETY: The page is in no table before `adopt` succeeds, and is the caller's alone.
            unsafe { page.place(leaf, number) };
            // SAFETY: `leaf` has height 0, and by the requirements of this function the page stays.
            let adopted = unsafe { leaf.adopt(number % FANOUT, page.as_raw()) };

            // INVARIANT: Page `number` exists now, put there by this thread or another one; the
            // one that is late in stepping on finds it done. Full: releases the page to those who
            // load the length.
            let next = number.wrapping_add(1);
            let _ = self.len.cmpxchg(number, next, Full);
            if adopted {
                return Ok(());
            }
            number = next;
        }
    }

    fn root(&self, height: u32) -> Option<&Node> {
        // Acquire: pairs with the exchange in `grown_root`.
        let root = self.trees.get(height as usize)?.load(Acquire);

        // SAFETY: By the type invariants it is null or a node that lives as long as the table.
        unsafe { root.as_ref() }
    }

    /// The root of the tree of `height`, which is made if there is none.
    fn grown_root(&self, height: u32, flags: Flags) -> Result<&Node> {
        if let Some(root) = self.root(height) {
            return Ok(root);
        }

        let root = KBox::into_raw(Node::new(self.common, None, height, flags)?);
        let tree = self.trees.get(height as usize).ok_or(ENOMEM)?;
        // INVARIANT: Only null is replaced. Full: releases the node's contents.
        if tree.cmpxchg(null_mut(), root, Full).is_err() {
            // SAFETY: `root` was made above, and nobody has seen it.
            drop(unsafe { KBox::from_raw(root) });
        }
        self.root(height).ok_or(ENOMEM)
    }

    /// The leaf for page `number`, which is made with all nodes above it if there is none.
    fn leaf(&self, number: u32, flags: Flags) -> Result<&Node> {
        let (mut height, number) = locate(number).ok_or(ENOMEM)?;
        let mut node = self.grown_root(height, flags)?;

        while height > 0 {
            let slot = slot_at(height, number);
            height = height.wrapping_sub(1);

            if node.child_node(slot).is_none() {
                let child =
                    KBox::into_raw(Node::new(self.common, Some((node, slot)), height, flags)?);
                // SAFETY: `child` is a new node whose height is less by one, and is freed only
                // here, where nobody has seen it, or together with the table.
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

impl Drop for Table {
    /// Frees the nodes. The pages are their owner's business.
    fn drop(&mut self) {
        for tree in &self.trees {
            // Relaxed: `&mut self` means that nobody else is here.
            if let Some(root) = NonNull::new(tree.load(Relaxed)) {
                // SAFETY: The table owns its trees, and nobody can look at them any more.
                unsafe { free_nodes(root) };
            }
        }
    }
}

/// Frees `root` and all nodes below it; at most [`TREES`] levels deep.
///
/// # Safety
///
/// `root` must be a node that was allocated as a [`KBox`] and that nobody uses any more.
unsafe fn free_nodes(root: NonNull<Node>) {
    // SAFETY: By the requirements of this function.
    let node = unsafe { KBox::from_raw(root.as_ptr()) };

    for slot in 0..FANOUT {
        if let Some(child) = node.child_node(slot).map(NonNull::from) {
            // SAFETY: The child was allocated in the same way, and its parent was its only user.
            unsafe { free_nodes(child) };
        }
    }
}
