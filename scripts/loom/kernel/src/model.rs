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
    explore,
    stop_exploring,
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
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    ops::Range,
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
    spare: Vec<AtomicU64>,
    cells: BTreeMap<usize, Cell>,
    /// The atomic variables that were accessed since this is `Some`, by address.
    accessed: Option<BTreeSet<usize>>,
    /// Atomic variables that stay plain numbers, by address.
    counters: BTreeSet<usize>,
    /// Areas of these.
    areas: Vec<Range<usize>>,
    regions: BTreeMap<usize, Region>,
    /// How many bytes of DMA memory can be had.
    dma_left: usize,
    dma_live: usize,
    /// No DMA memory was had at this address or after it.
    dma_next: u64,
    dma_align: u64,
    /// Memory that is not allocated yet, but of which it is known where it will be.
    foreseen: Option<Region>,
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
    static THREAD: std::cell::Cell<usize> = std::cell::Cell::new(0);
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

    // LOOM_MAX_PREEMPTIONS, if that is set, goes for all models, but for those that have fewer.
    loom.preemption_bound = [loom.preemption_bound, settings.preemptions]
        .into_iter()
        .flatten()
        .min();
    loom.max_branches = 10_000;
    loom.check(move || {
        let begin = Execution {
            cpus: settings.cpus,
            dma_left: usize::MAX,
            // Not among the addresses of the CPU.
            dma_next: 1 << 32,
            dma_align: 1,
            spare: (0..settings.atomics)
                .map(|_| AtomicU64::default())
                .collect(),
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
    let run = |(number, (cpu, body)): (usize, (u32, Box<dyn FnOnce() -> R>))| {
        THREAD.with(|this| this.set(number));
        run_on(cpu);
        body()
    };

    with(|execution| execution.concurrent = true);
    let mut bodies = bodies.into_iter().enumerate();
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
                Some(shared) => unsafe { shared.value.unsync_load() },
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

/// `smp_mb__after_atomic()`.
pub fn mb_after_atomic() {
    full_barrier();
}

/// An atomic variable.
#[derive(Clone)]
pub(crate) struct Cell {
    address: usize,
    base: u64,
    shared: Option<Rc<Shared>>,
}

/// loom's part of an atomic variable.
///
/// Of the accesses to a variable loom remembers the last one, and the last one that is no load. If
/// another access races with that, loom has them in the other order as well. So if one thread
/// loads, and another one loads and then writes, loom misses that the first load races with the
/// write: the last access was by the thread that writes (tokio-rs/loom#166, #392). A load before a
/// compare-and-exchange is always such a case.
///
/// So each thread that loads has a variable for that alone. It loads this one after the other, and
/// who writes to the other one pretends to write to this one. As nobody does, nothing is ordered by
/// it. Where it is accessed loom does not explore, but goes back to the access before, which is the
/// one that it stands for.
pub(crate) struct Shared {
    value: AtomicU64,
    /// By the thread that loads.
    loads: RefCell<BTreeMap<usize, Rc<AtomicU64>>>,
}

/// One that is zero.
fn spare_atomic(spare: &mut Vec<AtomicU64>) -> AtomicU64 {
    spare.pop().expect("the model needs more `atomics`")
}

/// The atomic variable at `address`, which is `initial` if nobody has used it yet.
pub(crate) fn cell(address: usize, initial: u64) -> Cell {
    with(|execution| {
        if let Some(region) = execution.region(address) {
            assert!(!region.freed, "use after free");
        }
        if let Some(accessed) = &mut execution.accessed {
            accessed.insert(address);
        }
        let cell = execution.cells.entry(address).or_insert(Cell {
            address,
            base: initial,
            shared: None,
        });
        let counts = execution.counters.contains(&address)
            || execution.areas.iter().any(|area| area.contains(&address));
        let shares = execution.concurrent && !counts;

        if shares && cell.shared.is_none() {
            cell.shared = Some(Rc::new(Shared {
                value: spare_atomic(&mut execution.spare),
                loads: RefCell::default(),
            }));
        }
        cell.clone()
    })
}

/// The atomic variables that `f` accesses, by address.
fn accessed_by(f: impl FnOnce()) -> BTreeSet<usize> {
    with(|execution| execution.accessed = Some(BTreeSet::new()));
    f();
    with(|execution| execution.accessed.take()).unwrap()
}

/// What `count` accesses, and `find` does not, are counters from which nothing is inferred. They
/// stay plain numbers when there are threads: with the orders in which these can change them, there
/// would be many times as much to explore.
pub fn leave_out_counters(count: impl FnOnce(), find: impl FnOnce()) {
    let counters = &accessed_by(count) - &accessed_by(find);

    with(|execution| execution.counters = counters);
}

/// The same of all atomic variables in `area`.
pub fn leave_out<T>(area: &T) {
    let start = std::ptr::from_ref(area).addr();

    with(|execution| execution.areas.push(start..start + size_of::<T>()));
}

impl Shared {
    /// This thread has loaded the variable.
    fn loaded(&self) {
        let this = THREAD.with(|this| this.get());
        let own = with(|execution| {
            let mut loads = self.loads.borrow_mut();
            let load = loads.entry(this);

            load.or_insert_with(|| Rc::new(spare_atomic(&mut execution.spare)))
                .clone()
        });

        stop_exploring();
        own.load(Ordering::Relaxed);
        explore();
    }

    /// This thread has written to the variable, or would have if it had found what it expected.
    fn written(&self) {
        let this = THREAD.with(|this| this.get());
        let others: Vec<_> = self
            .loads
            .borrow()
            .iter()
            .filter(|(thread, _)| **thread != this)
            .map(|(_, other)| other.clone())
            .collect();

        stop_exploring();
        for other in others {
            let failed = other.compare_exchange(1, 1, Ordering::Relaxed, Ordering::Relaxed);
            assert!(failed.is_err());
        }
        explore();
    }
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
            Some(shared) => {
                let value = shared.value.load(order);

                shared.loaded();
                self.from_base(value)
            }
            None => self.base,
        }
    }

    pub(crate) fn store(self, value: u64, order: Ordering) {
        match &self.shared {
            Some(shared) => {
                shared.value.store(self.in_base(value), order);
                shared.written();
            }
            None => {
                self.replace(value);
            }
        }
    }

    pub(crate) fn swap(self, value: u64, order: Ordering) -> u64 {
        match &self.shared {
            Some(shared) => {
                let old = shared.value.swap(self.in_base(value), order);

                shared.written();
                self.from_base(old)
            }
            None => self.replace(value),
        }
    }

    pub(crate) fn fetch_add(self, value: u64, order: Ordering) -> u64 {
        match &self.shared {
            Some(shared) => {
                let old = shared.value.fetch_add(value, order);

                shared.written();
                self.from_base(old)
            }
            None => {
                let sum = self.base.wrapping_add(value);
                self.replace(sum)
            }
        }
    }

    pub(crate) fn compare_exchange(self, old: u64, new: u64, order: Ordering) -> Result<u64, u64> {
        match &self.shared {
            Some(shared) => {
                let (old, new) = (self.in_base(old), self.in_base(new));
                let result = shared
                    .value
                    .compare_exchange(old, new, order, Ordering::Relaxed);

                shared.written();
                result
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

impl Region {
    fn new(layout: Layout) -> Self {
        // A size of zero cannot be allocated, and would not have an address of its own.
        let layout = Layout::from_size_align(layout.size().max(1), layout.align()).unwrap();
        // SAFETY: The size is not zero.
        let start = unsafe { alloc(layout) };

        assert!(!start.is_null());
        Self {
            start,
            layout,
            contents: Rc::new(UnsafeCell::new(())),
            public: false,
            freed: false,
            blocks: BTreeMap::new(),
        }
    }
}

/// New memory, not initialized.
pub(crate) fn allocate(layout: Layout) -> *mut u8 {
    let foreseen = with(|execution| execution.foreseen.take_if(|region| region.layout == layout));
    let region = match foreseen {
        Some(mut region) => {
            // It is this thread that writes to it first.
            region.contents = Rc::new(UnsafeCell::new(()));
            region
        }
        None => Region::new(layout),
    };
    let start = region.start;

    with(|execution| execution.regions.insert(start as usize, region));
    start
}

/// Where the next memory of that layout will be.
pub(crate) fn foresee(layout: Layout) -> *mut u8 {
    let region = Region::new(layout);
    let start = region.start;

    with(|execution| execution.foreseen = Some(region));
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

/// Where DMA memory is from now on, for the device: at multiples of `bytes`.
pub fn align_dma(bytes: usize) {
    with(|execution| execution.dma_align = bytes as u64);
}

/// The DMA address of the next memory, if that is so large.
pub(crate) fn next_dma(bytes: usize) -> u64 {
    let size = bytes.next_power_of_two() as u64;

    with(|execution| {
        execution
            .dma_next
            .next_multiple_of(size.max(execution.dma_align))
    })
}

/// Counts DMA memory, and returns its address. `None` if there is not enough.
pub(crate) fn begin_dma(bytes: usize) -> Option<u64> {
    let dma = next_dma(bytes);

    with(|execution| {
        execution.dma_left = execution.dma_left.checked_sub(bytes)?;
        execution.dma_live += bytes;
        execution.dma_next = dma + bytes as u64;
        Some(dma)
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
