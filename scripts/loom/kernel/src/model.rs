// SPDX-License-Identifier: GPL-2.0

//! What one execution of a model knows of memory; no part of the real crate.
//!
//! An execution begins and ends with one thread. Then atomic variables are plain numbers, so that
//! loom has nothing to explore, and a pool can be brought into any state for nothing. In between,
//! in [`threads`], they are loom's. These must have been made before the threads, or loom would
//! miss that their first value was there before; so there are some in store, all zero, and each
//! stands for what was added to the number that it had before the threads were started.

use loom::{
    cell::UnsafeCell,
    sync::atomic::{
        fence,
        AtomicU64,
        Ordering, //
    },
    thread, //
};
use std::{
    alloc::{
        alloc,
        dealloc,
        Layout, //
    },
    cell::RefCell,
    collections::BTreeMap,
    rc::Rc, //
};

/// How an execution goes.
#[derive(Clone, Copy)]
pub struct Settings {
    /// The number of CPUs.
    pub cpus: u32,
    /// How often threads may be interrupted; `None` for any number.
    pub preemptions: Option<usize>,
    /// How many atomic variables the threads use at most. It costs time to have many.
    pub atomics: usize,
}

/// The state of an execution. All threads of loom's are one of the system's, so it needs no lock.
#[derive(Default)]
struct Execution {
    cpus: u32,
    concurrent: bool,
    spare: Vec<Rc<AtomicU64>>,
    cells: BTreeMap<usize, Cell>,
    regions: BTreeMap<usize, Region>,
    /// How many bytes of DMA memory can be had.
    dma_left: usize,
    dma_live: usize,
}

/// An area of memory. Its address is used only once in an execution.
struct Region {
    start: *mut u8,
    layout: Layout,
    /// Written to by who has the region for itself, and read by who may look at it.
    contents: Rc<UnsafeCell<()>>,
    public: bool,
    freed: bool,
    /// For DMA memory, by address: whether the block there is owned.
    blocks: BTreeMap<usize, Rc<UnsafeCell<bool>>>,
}

thread_local! {
    static EXECUTION: RefCell<Execution> = RefCell::default();
}

loom::thread_local! {
    static CPU: std::cell::Cell<u32> = std::cell::Cell::new(0);
}

/// Never around an operation of loom's that may switch to another thread.
fn with<R>(f: impl FnOnce(&mut Execution) -> R) -> R {
    EXECUTION.with_borrow_mut(f)
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: Allocated in `allocate`, and the execution has ended.
        unsafe { dealloc(self.start, self.layout) };
    }
}

/// Runs `f` in every way that its threads can be interleaved, and returns how many these are.
pub fn check(settings: Settings, f: impl Fn() + Send + Sync + 'static) -> usize {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let mut loom = loom::model::Builder::new();

    // LOOM_MAX_PREEMPTIONS, if that is set, goes for all models.
    loom.preemption_bound = loom.preemption_bound.or(settings.preemptions);
    loom.max_branches = 10_000;
    loom.check(move || {
        let begin = Execution {
            cpus: settings.cpus,
            dma_left: usize::MAX,
            spare: (0..settings.atomics).map(|_| Rc::default()).collect(),
            ..Execution::default()
        };

        with(|execution| *execution = begin);
        f();
        with(|execution| {
            let leaked = execution.regions.values().filter(|region| !region.freed);
            assert!(leaked.count() == 0, "memory leaks");
            *execution = Execution::default();
        });
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    count.load(std::sync::atomic::Ordering::Relaxed)
}

/// Has what follows run on `cpu`.
pub fn run_on(cpu: u32) {
    CPU.with(|this| this.set(cpu));
}

/// Runs `bodies` as threads, each on the CPU that stands with it, and returns their results.
pub fn threads<R: 'static>(bodies: Vec<(u32, Box<dyn FnOnce() -> R>)>) -> Vec<R> {
    let run = |(cpu, body): (u32, Box<dyn FnOnce() -> R>)| {
        run_on(cpu);
        body()
    };

    with(|execution| execution.concurrent = true);
    let mut bodies = bodies.into_iter();
    let first = bodies.next();
    let others: Vec<_> = bodies
        .map(|body| thread::spawn(move || run(body)))
        .collect();
    // One thread less is much less to explore.
    let mut results: Vec<_> = first.map(run).into_iter().collect();
    results.extend(others.into_iter().map(|other| other.join().unwrap()));

    with(|execution| {
        for cell in execution.cells.values_mut() {
            // SAFETY: The other threads have ended.
            cell.base = cell.base.wrapping_add(match cell.shared.take() {
                Some(atomic) => unsafe { atomic.unsync_load() },
                None => 0,
            });
        }
        execution.concurrent = false;
    });
    results
}

pub(crate) fn this_cpu() -> u32 {
    CPU.with(|this| this.get())
}

pub(crate) fn cpus() -> u32 {
    with(|execution| execution.cpus)
}

fn is_concurrent() -> bool {
    with(|execution| execution.concurrent)
}

pub(crate) fn full_barrier() {
    if is_concurrent() {
        fence(Ordering::SeqCst);
    }
}

/// An atomic variable.
#[derive(Clone)]
pub(crate) struct Cell {
    address: usize,
    base: u64,
    shared: Option<Rc<AtomicU64>>,
}

/// The atomic variable at `address`, which is `initial` if nobody has used it yet.
pub(crate) fn cell(address: usize, initial: u64) -> Cell {
    with(|execution| {
        if let Some(region) = execution.region(address) {
            assert!(!region.freed, "use after free");
        }
        let cell = execution.cells.entry(address).or_insert(Cell {
            address,
            base: initial,
            shared: None,
        });
        if execution.concurrent && cell.shared.is_none() {
            cell.shared = Some(
                execution
                    .spare
                    .pop()
                    .expect("the model needs more `atomics`"),
            );
        }
        cell.clone()
    })
}

impl Cell {
    fn in_base(&self, value: u64) -> u64 {
        value.wrapping_sub(self.base)
    }

    fn from_base(&self, value: u64) -> u64 {
        value.wrapping_add(self.base)
    }

    /// While there is one thread only.
    fn replace(self, value: u64) -> u64 {
        with(|execution| execution.cells.get_mut(&self.address).unwrap().base = value);
        self.base
    }

    pub(crate) fn load(self, order: Ordering) -> u64 {
        match &self.shared {
            Some(atomic) => self.from_base(atomic.load(order)),
            None => self.base,
        }
    }

    pub(crate) fn store(self, value: u64, order: Ordering) {
        match &self.shared {
            Some(atomic) => atomic.store(self.in_base(value), order),
            None => {
                self.replace(value);
            }
        }
    }

    pub(crate) fn swap(self, value: u64, order: Ordering) -> u64 {
        match &self.shared {
            Some(atomic) => self.from_base(atomic.swap(self.in_base(value), order)),
            None => self.replace(value),
        }
    }

    pub(crate) fn fetch_add(self, value: u64, order: Ordering) -> u64 {
        match &self.shared {
            Some(atomic) => self.from_base(atomic.fetch_add(value, order)),
            None => {
                let sum = self.base.wrapping_add(value);
                self.replace(sum)
            }
        }
    }

    pub(crate) fn compare_exchange(self, old: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        match &self.shared {
            Some(atomic) => {
                let (old, new) = (self.in_base(old), self.in_base(new));

                atomic
                    .compare_exchange(old, new, order, Ordering::Relaxed)
                    .map(|old| self.from_base(old))
                    .map_err(|now| self.from_base(now))
            }
            None if self.base == old => Ok(self.replace(new)),
            None => Err(self.base),
        }
    }
}

impl Execution {
    /// The region in which `address` is.
    fn region(&mut self, address: usize) -> Option<&mut Region> {
        let (start, region) = self.regions.range_mut(..=address).next_back()?;

        (address - start < region.layout.size()).then_some(region)
    }
}

/// New memory, not initialized.
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    // A size of zero cannot be allocated, and would not have an address of its own.
    let layout = Layout::from_size_align(layout.size().max(1), layout.align()).unwrap();
    // SAFETY: The size is not zero.
    let start = unsafe { alloc(layout) };
    let region = Region {
        start,
        layout,
        contents: Rc::new(UnsafeCell::new(())),
        public: false,
        freed: false,
        blocks: BTreeMap::new(),
    };

    assert!(!start.is_null());
    with(|execution| execution.regions.insert(start as usize, region));
    start
}

/// Gives memory back. Who could look at it must have been done with it before, in the order that
/// the atomic operations make.
pub(crate) fn free(start: *mut u8) {
    let contents = with(|execution| {
        let region = execution.regions.get_mut(&(start as usize)).unwrap();

        assert!(!region.freed, "freed twice");
        region.freed = true;
        region.contents.clone()
    });
    contents.with_mut(|_| ());
}

/// A pointer is about to be stored where others find it. If it is the first one to its region, all
/// that was written there must happen before they look. Returns whether it is.
pub(crate) fn publish(address: usize) -> bool {
    let contents = with(|execution| match execution.region(address) {
        Some(region) if !region.public => {
            region.public = true;
            Some(region.contents.clone())
        }
        _ => None,
    });

    if let Some(contents) = &contents {
        contents.with_mut(|_| ());
    }
    contents.is_some()
}

/// It was not stored after all.
pub(crate) fn unpublish(address: usize) {
    with(|execution| execution.region(address).unwrap().public = false);
}

/// Somebody has found a pointer, and may look at what it points to.
pub(crate) fn reach(address: usize) {
    let contents = with(|execution| {
        let region = execution.region(address)?;

        assert!(!region.freed, "use after free");
        Some(region.contents.clone())
    });

    if let Some(contents) = contents {
        contents.with(|_| ());
    }
}

/// Limits the DMA memory that can be had from now on.
pub fn limit_dma(bytes: usize) {
    with(|execution| execution.dma_left = bytes);
}

/// How many bytes of DMA memory are allocated.
pub fn dma_live() -> usize {
    with(|execution| execution.dma_live)
}

/// Counts DMA memory. `None` if there is not enough.
pub(crate) fn begin_dma(bytes: usize) -> Option<()> {
    with(|execution| {
        execution.dma_left = execution.dma_left.checked_sub(bytes)?;
        execution.dma_live += bytes;
        Some(())
    })
}

/// Counts `bytes` less, and frees the blocks that begin at `start` from the models' view.
pub(crate) fn end_dma(start: *mut u8, bytes: usize) {
    let blocks = with(|execution| {
        execution.dma_live -= bytes;
        execution.dma_left = execution.dma_left.saturating_add(bytes);
        std::mem::take(&mut execution.region(start as usize).unwrap().blocks)
    });

    for block in blocks.values() {
        // SAFETY: loom panics if another thread accesses it.
        block.with_mut(|owned| assert!(!unsafe { *owned }, "freed while a block is in use"));
    }
}

/// The caller begins (`owned`) or ends to own the block at `block`, and writes to it. Nobody else
/// may own it, and all that the last owner did must have happened before.
pub fn own(block: *const u8, owned: bool) {
    reach(block as usize);
    let state = with(|execution| {
        let region = execution.region(block as usize).expect("no DMA memory");
        let state = region.blocks.entry(block as usize);

        state
            .or_insert_with(|| Rc::new(UnsafeCell::new(false)))
            .clone()
    });

    // SAFETY: loom panics if another thread accesses it, and there is no other reference.
    let before = state.with_mut(|state| unsafe { state.replace(owned) });
    assert!(before != owned, "a block with two owners, or none");
}
