// SPDX-License-Identifier: GPL-2.0

//! The models. Each is a state of the pool and some threads that start from there.
//!
//! What must hold in the end is in `run.rs`. A model is explored wholly if it says no number of
//! preemptions.

use crate::{
    allocator::{
        free::BadFree,
        tokens::RawBlock, //
    },
    run::*,
    Options, //
};
use kernel::{
    dma::Coherent,
    model::{
        align_dma,
        limit_dma,
        run_on, //
    },
    page::PAGE_SIZE,
    prelude::*,
};
use std::cell::Cell;

// What a thread does.

fn get(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.extend(alloc(pool));
    blocks
}

/// Where there are enough blocks for all threads.
fn get_surely(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.push(alloc(pool).expect("there is a free block"));
    blocks
}

fn get_two(pool: Pool, blocks: Blocks) -> Blocks {
    get(pool, get(pool, blocks))
}

/// Frees one of its blocks.
fn put(_: Pool, mut blocks: Blocks) -> Blocks {
    drop(blocks.pop());
    blocks
}

fn put_get(pool: Pool, blocks: Blocks) -> Blocks {
    get(pool, put(pool, blocks))
}

fn put_put_get(pool: Pool, blocks: Blocks) -> Blocks {
    put_get(pool, put(pool, blocks))
}

fn get_put(pool: Pool, blocks: Blocks) -> Blocks {
    put(pool, get(pool, blocks))
}

fn shrink(pool: Pool, blocks: Blocks) -> Blocks {
    pool.shrink();
    blocks
}

fn shrink_get(pool: Pool, blocks: Blocks) -> Blocks {
    get(pool, shrink(pool, blocks))
}

fn shrink_reserve(pool: Pool, blocks: Blocks) -> Blocks {
    reserve(pool, shrink(pool, blocks))
}

fn reserve(pool: Pool, blocks: Blocks) -> Blocks {
    let _ = pool.prefill(2, GFP_KERNEL);
    blocks
}

/// Frees the target, whether it is there or not.
fn misfree(pool: Pool, blocks: Blocks) -> Blocks {
    free_target(pool);
    blocks
}

/// Frees what is no block, though its own is near.
fn misfree_odd(pool: Pool, blocks: Blocks) -> Blocks {
    let own = blocks[0].address();
    let stride = pool.geometry().stride();
    let past = pool.geometry().blocks_per_page() as usize * stride;

    for (cpu, dma) in [(past, past), (1, 1), (1, 0), (0, 1), (PAGE_SIZE, PAGE_SIZE)] {
        aim_at(Address {
            cpu: own.cpu.wrapping_add(cpu),
            dma: own.dma + dma as u64,
        });
        free_target(pool);
    }
    blocks
}

fn misfree_twice(pool: Pool, blocks: Blocks) -> Blocks {
    misfree(pool, misfree(pool, blocks))
}

// The state they start from.

/// Nothing.
fn empty(_: Pool) -> Vec<Blocks> {
    Vec::new()
}

/// Nothing but the reserve, and no more can be had.
fn empty_and_closed(_: Pool) -> Vec<Blocks> {
    limit_dma(0);
    Vec::new()
}

/// Nothing, and no more than one page can be had.
fn empty_one_page(_: Pool) -> Vec<Blocks> {
    limit_dma(PAGE_SIZE);
    Vec::new()
}

/// Allocates so many blocks for each thread.
fn taken<const N: usize>(pool: Pool, counts: [usize; N]) -> Vec<Blocks> {
    let block = |_| alloc(pool).unwrap();

    counts.map(|count| (0..count).map(block).collect()).into()
}

/// The same, and no more pages can be had.
fn only<const N: usize>(pool: Pool, counts: [usize; N]) -> Vec<Blocks> {
    let blocks = taken(pool, counts);

    limit_dma(0);
    blocks
}

/// `count` blocks that are all free. CPU 0 allocates from the last page.
fn free(pool: Pool, count: usize) -> Vec<Blocks> {
    drop(taken(pool, [count]));
    Vec::new()
}

/// The same, and no more pages can be had.
fn only_free(pool: Pool, count: usize) -> Vec<Blocks> {
    drop(only(pool, [count]));
    Vec::new()
}

/// The same, but CPU 1 allocates from the last page.
fn free_elsewhere(pool: Pool, count: usize) -> Vec<Blocks> {
    run_on(1);
    free(pool, count);
    run_on(0);
    Vec::new()
}

/// `count` blocks that are all free, in pages that no CPU works on, and no more can be had.
fn announced(pool: Pool, count: usize) -> Vec<Blocks> {
    pool.prefill(count, GFP_KERNEL).unwrap();
    limit_dma(0);
    Vec::new()
}

/// Slabs of one block that are no CPU's. The block of one, whose announcement is stale, is the
/// first thread's; that of the other is free and announced.
fn stale_announcement(pool: Pool) -> Vec<Blocks> {
    run_on(1);
    let mut blocks = only(pool, [1, 1]);
    let slabs: Vec<_> = pool.slabs().collect();

    run_on(0);
    blocks[0].clear();
    blocks[1].clear();
    run_on(1);
    pool.switch_to(pool.cpus.this(), slabs[0], 0);
    blocks[0].extend(alloc(pool));
    // That has no blocks.
    pool.switch_to(pool.cpus.this(), slabs[2], 0);
    run_on(0);
    blocks
}

/// Pages of one block. CPU 0 allocates from one, of which the last thread has the block, and has
/// freed into the other.
fn alloc_page_and_freed(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [1, 1]);

    blocks[0].clear();
    blocks
}

/// Pages of one block. CPU 0 allocates from one that is free, the other's block is the first
/// thread's. No more can be had, but there is a record for the next page.
fn one_free_one_taken(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [1, 1]);

    assert!(alloc(pool).is_none());
    blocks[1].clear();
    blocks
}

/// A free page of two words, in which the next block to be taken is the only one of the second.
fn two_words(pool: Pool) -> Vec<Blocks> {
    free(pool, 65)
}

/// Has CPU 0 give back the other twin of what it takes.
fn use_twins(pool: Pool) {
    pool.cpus.this().use_twins(&pool.layout);
}

/// A free page of two blocks, one of which is free by its second bit.
fn halves(pool: Pool) -> Vec<Blocks> {
    free(pool, 2);
    use_twins(pool);
    drop(alloc(pool));
    Vec::new()
}

/// Two blocks of a page, to be given back by their second bits. There are no others.
fn twins(pool: Pool) -> Vec<Blocks> {
    only_free(pool, 2);
    use_twins(pool);
    taken(pool, [1, 1])
}

/// A page of two blocks. One is the first thread's, to be given back by its second bit, the other
/// is free by its first. No more can be had, but there is a record for the next page.
fn twins_in_two_words(pool: Pool) -> Vec<Blocks> {
    let blocks = only(pool, [2]);

    assert!(alloc(pool).is_none());
    drop(blocks);
    use_twins(pool);
    taken(pool, [1])
}

/// A full page of two blocks, and two more of another page, to be given back by their second bits.
/// All are the first thread's, the latter last.
fn twins_last(pool: Pool) -> Vec<Blocks> {
    free(pool, 2);
    use_twins(pool);
    let twins = taken(pool, [2]).into_iter().flatten();
    let blocks = only(pool, [2]).into_iter().flatten();

    vec![blocks.chain(twins).collect()]
}

/// More blocks in a page than can have twins.
fn too_many_for_twins(pool: Pool) -> Vec<Blocks> {
    free(pool, 1);
    use_twins(pool);
    taken(pool, [1])
}

/// The only block there is, taken and nobody's, is the target.
fn loose(pool: Pool) -> Vec<Blocks> {
    aim_at(alloc(pool).unwrap().disown());
    limit_dma(0);
    Vec::new()
}

/// The same, but there is another block, which is free. It is the first one in their page.
fn loose_and_free(pool: Pool) -> Vec<Blocks> {
    let first = alloc(pool);

    loose(pool);
    drop(first);
    Vec::new()
}

/// A block that is free is the target.
fn freed(pool: Pool) -> Vec<Blocks> {
    let block = alloc(pool).unwrap();

    aim_at(block.address());
    drop(block);
    Vec::new()
}

/// Nothing, and the target is block `index` of the page that is had next.
fn invented(pool: Pool, index: usize) -> Vec<Blocks> {
    let (cpu, dma) = Coherent::foresee(PAGE_SIZE);
    let offset = index * pool.geometry().size();

    aim_at(Address {
        cpu: cpu.wrapping_add(offset),
        dma: dma + offset as u64,
    });
    Vec::new()
}

/// Three full pages of two blocks. The first one was found by an address, and is no CPU's page any
/// more. Its blocks are the first thread's.
fn found_and_left(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [2, 2, 2]);

    for page in 0..2 {
        blocks[page].pop();
        blocks[page].extend(alloc(pool));
    }
    blocks
}

/// A block for each thread, and one of the same page that was freed by its address.
fn one_freed(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [1, 2]);

    blocks[1].pop();
    blocks
}

/// One block for each thread, of pages that are kept in the same place when found.
fn colliding(pool: Pool) -> Vec<Blocks> {
    align_dma(256 * PAGE_SIZE);
    taken(pool, [1, 1])
}

/// Many pages of one block, so that the pool grows by one more when it grows. All blocks are taken,
/// one by the second thread, and the slab that CPU 0 has added last has no room.
fn many(pool: Pool) -> Vec<Blocks> {
    taken(pool, [15, 1])
}

/// A full page of two blocks, one for each thread, in a slab that has room, and from which both
/// CPUs allocate.
fn in_one_slab(pool: Pool) -> Vec<Blocks> {
    let mut blocks = taken(pool, [1, 1]);

    blocks[1].clear();
    run_on(1);
    pool.switch_to(pool.cpus.this(), pool.slabs().last().unwrap(), 0);
    blocks[1].extend(alloc(pool));
    run_on(0);
    blocks
}

/// Two slabs of two blocks. Of that from which CPU 0 allocates one block is free by its second bit,
/// and the other the first thread's; those of the other slab are free.
fn other_word(pool: Pool) -> Vec<Blocks> {
    only_free(pool, 4);
    use_twins(pool);
    let mut blocks = taken(pool, [2]);

    blocks[0].pop();
    blocks
}

/// The same of a slab of two words, of which the second has one block, which is free.
fn last_of_two_words(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [65, 65]);

    blocks[0].truncate(63);
    blocks[1].pop();
    blocks
}

/// A full page of two blocks, and the target is the second block of the slab's next page.
fn second_invented(pool: Pool) -> Vec<Blocks> {
    let blocks = taken(pool, [2]);

    invented(pool, 1);
    blocks
}

// Reserves and tokens.

const RESERVE: Options = Options::new().min_nr(1);
const RESERVE_OF_TWO: Options = Options::new().min_nr(2);
const TOKENS: Options = Options::new().tokens();
const ADDRESSES: Options = Options::new().addresses();
const TOKENS_AND_RESERVE: Options = TOKENS.min_nr(1);

fn get_atomic(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.extend(alloc_atomic(pool));
    blocks
}

/// Where there are enough blocks for all threads.
fn get_atomic_surely(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.push(alloc_atomic(pool).expect("there is a free block"));
    blocks
}

fn put_get_atomic(pool: Pool, blocks: Blocks) -> Blocks {
    get_atomic(pool, put(pool, blocks))
}

fn put_get_atomic_surely(pool: Pool, blocks: Blocks) -> Blocks {
    get_atomic_surely(pool, put(pool, blocks))
}

/// Allocates so many blocks for each thread, which is all that there are, the reserve included.
fn all<const N: usize>(pool: Pool, counts: [usize; N]) -> Vec<Blocks> {
    let block = |_| alloc_atomic(pool).unwrap();

    limit_dma(0);
    let blocks = counts.map(|count| (0..count).map(block).collect()).into();
    assert!(alloc_atomic(pool).is_none());
    blocks
}

/// A block of a page for the first thread, and that of the reserve for the second. There are no
/// others.
fn paged_and_reserved(pool: Pool) -> Vec<Blocks> {
    let mut blocks = taken(pool, [1]);

    blocks.extend(all(pool, [1]));
    blocks
}

thread_local! {
    static TOKEN: Cell<Option<RawBlock>> = const { Cell::new(None) };
}

/// The only block is out.
fn out(pool: Pool) -> Vec<Blocks> {
    TOKEN.set(Some(alloc_atomic(pool).unwrap().let_out()));
    limit_dma(0);
    Vec::new()
}

fn turn_back(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.extend(TOKEN.get().and_then(|token| take_back(pool, token)));
    blocks
}

/// Lets its block out, and turns the token back if nobody else has done so by then.
fn let_out_and_turn_back(pool: Pool, mut blocks: Blocks) -> Blocks {
    TOKEN.set(blocks.pop().map(|block| block.let_out()));
    turn_back(pool, blocks)
}

/// Has all blocks of a page of three words out, and turns them back.
fn all_out_and_back(pool: Pool) -> Vec<Blocks> {
    let out: Vec<_> = (0..130).map(|_| alloc(pool).unwrap().let_out()).collect();

    vec![out
        .into_iter()
        .map(|token| take_back(pool, token).expect("it is out"))
        .collect()]
}

/// Turns the token back, and has the block out once more, by itself.
fn turn_back_and_again(pool: Pool, mut blocks: Blocks) -> Blocks {
    if let Some(block) = TOKEN.get().and_then(|token| take_back(pool, token)) {
        let next = block.let_out();

        blocks.push(take_back(pool, next).expect("nobody else knows it"));
    }
    blocks
}

/// Allocates, and has the block out and back: whoever has a block finds it by its address.
fn out_and_back(pool: Pool, mut blocks: Blocks) -> Blocks {
    if let Some(block) = alloc(pool) {
        let dma = block.let_out_by_address();

        blocks.push(take_back_at(pool, dma).expect("it is out"));
    }
    blocks
}

thread_local! {
    static ADDRESS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The only block is out by its address.
fn out_by_address(pool: Pool) -> Vec<Blocks> {
    ADDRESS.set(alloc_atomic(pool).map(|block| block.let_out_by_address()));
    limit_dma(0);
    Vec::new()
}

fn name_address(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.extend(ADDRESS.get().and_then(|dma| take_back_at(pool, dma)));
    blocks
}

/// Names the address, and has the block out once more.
fn name_address_and_again(pool: Pool, mut blocks: Blocks) -> Blocks {
    if let Some(block) = ADDRESS.get().and_then(|dma| take_back_at(pool, dma)) {
        let dma = block.let_out_by_address();

        blocks.extend(take_back_at(pool, dma));
    }
    blocks
}

/// The same, and the block is freed in between.
fn turn_back_free_and_again(pool: Pool, mut blocks: Blocks) -> Blocks {
    drop(TOKEN.get().and_then(|token| take_back(pool, token)));
    if let Some(block) = alloc_atomic(pool) {
        let next = block.let_out();

        blocks.push(take_back(pool, next).expect("nobody else knows it"));
    }
    blocks
}

// What comes of the frees of the target.

fn one_is_late(outcomes: &[Outcome]) -> bool {
    let late = |outcome: &&Outcome| **outcome == Err(BadFree::AlreadyFree);

    outcomes.contains(&Ok(())) && outcomes.iter().filter(late).count() == outcomes.len() - 1
}

fn all_refused(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(Result::is_err)
}

macro_rules! models {
    ($($name:ident($($field:ident: $value:expr),*): $before:expr, $threads:expr;)*) => {
        /// All models, the small ones first.
        pub(crate) const MODELS: &[Model] = &[$(
            Model {
                name: stringify!($name),
                before: $before,
                threads: &$threads,
                $($field: $value,)*
                ..Model::DEFAULT
            },
        )*];
    };
}

models! {
    // Allocating.
    one_page(blocks: 2): |pool| only_free(pool, 2), [(0, get_surely), (1, get_surely)];
    two_pages(blocks: 1): |pool| only_free(pool, 2), [(0, get_surely), (1, get_surely)];
    three_in_two_pages(blocks: 2, atomics: 96, preemptions: Some(4)): |pool| only_free(pool, 3),
        [(0, get_surely), (1, get_surely), (2, get_surely)];
    // One finds the page while the other has taken its announcement.
    search_search(blocks: 2): |pool| announced(pool, 2), [(0, get_surely), (1, get_surely)];
    search_search_one_cpu(blocks: 1, preemptions: Some(4)):
        |pool| announced(pool, 2), [(0, get_surely), (0, get_surely)];
    // A block is free all the time: one frees its block and then takes the other one. Whoever finds
    // that one taken must not give up.
    last_look(blocks: 1): one_free_one_taken, [(0, put_get), (1, get_surely)];

    last_look_checked(blocks: 1, checked: true, preemptions: Some(3)): one_free_one_taken,
        [(0, put_get), (1, get_surely)];
    last_look_pages(blocks: 1, pages: 2, preemptions: Some(3)): one_free_one_taken,
        [(0, put_get), (1, get_surely)];

    // Freeing.
    get_what_is_put(blocks: 1): |pool| only(pool, [1]), [(0, put), (1, get)];
    get_what_is_put_one_cpu(blocks: 1): |pool| only(pool, [1]), [(0, put), (0, get)];
    exchange(blocks: 1, preemptions: Some(3)):
        |pool| only(pool, [1, 1]), [(0, put_get), (1, put_get)];
    put_put_get(blocks: 1, preemptions: Some(3)):
        |pool| only(pool, [1, 1]), [(1, put), (2, put), (0, get)];
    put_put_one_page(blocks: 2): |pool| only(pool, [1, 1, 1]), [(1, put), (2, put)];
    put_put_one_cpu(blocks: 1): |pool| only(pool, [1, 1, 1]), [(0, put), (0, put)];

    exchange_twice(blocks: 2, preemptions: Some(2)):
        |pool| only(pool, [2, 2]), [(0, put_put_get), (1, put_put_get)];
    exchange_three(blocks: 1, atomics: 96, preemptions: Some(1)): |pool| only(pool, [1, 1]),
        [(0, put_get), (0, put), (0, get)];

    // A stale announcement is taken while a block is freed for which it would be good.
    put_stale_announcement(blocks: 1): stale_announcement, [(0, put), (1, get_surely)];

    // Current pages.
    put_while_replaced(blocks: 1): alloc_page_and_freed, [(0, get), (0, put)];
    put_while_replaced_elsewhere(blocks: 1): alloc_page_and_freed, [(0, get), (1, put)];

    // One goes on to another word of the slab that the other one leaves meanwhile.
    use_word(blocks: 2, preemptions: Some(4)): other_word, [(0, get_surely), (0, get_surely)];
    use_word_put(blocks: 2, preemptions: Some(3)): other_word, [(0, put_get), (0, get_surely)];
    use_word_of_two(blocks: 65, atomics: 96, preemptions: Some(2)): last_of_two_words,
        [(0, get_surely), (0, get_surely)];

    // Twins. What is freed is found where the CPU that allocates has not looked so far.
    twins_put_get(blocks: 2): twins, [(0, put_get), (1, put_get)];
    twins_put_put(blocks: 2): twins, [(0, put), (1, put)];
    twins_get(blocks: 2): |pool| {
        halves(pool);
        limit_dma(0);
        Vec::new()
    }, [(0, get_surely), (1, get_surely)];
    twins_last_look(blocks: 2): twins_in_two_words, [(0, put_get), (1, get_surely)];
    twins_exchange(blocks: 2, atomics: 96, preemptions: Some(2)): twins,
        [(0, put_get), (0, put), (1, get_put)];
    twins_shrink_get(blocks: 2, preemptions: Some(3)): halves, [(0, shrink), (1, get)];
    twins_shrink_put(blocks: 2): |pool| {
        halves(pool);
        taken(pool, [0, 1])
    }, [(0, shrink), (1, put)];
    // A CPU goes on from a slab of which a second bit is given meanwhile.
    twins_while_replaced(blocks: 2): |pool| {
        only_free(pool, 4);
        use_twins(pool);
        taken(pool, [0, 2])
    }, [(0, get_surely), (0, put)];
    // A CPU goes on from a page that has nothing but second bits.
    twins_replaced(blocks: 2): twins_last,
        [(1, |pool, blocks| put(pool, put(pool, put(pool, blocks))))];
    twins_too_many(blocks: 600): too_many_for_twins, [(0, put_get)];

    // Who makes a chunk?
    grow_grow_chunk(blocks: 1, atomics: 256, preemptions: Some(2)): |pool| taken(pool, [64]),
        [(0, get), (1, get)];

    // Shrinking.
    shrink_get(blocks: 2): |pool| free(pool, 2), [(0, shrink), (1, get)];
    shrink_get_fail(blocks: 2): |pool| only_free(pool, 2), [(0, shrink), (1, get)];
    shrink_get_put(blocks: 1, preemptions: Some(4)):
        |pool| free(pool, 1), [(0, shrink), (0, get_put)];
    shrink_put(blocks: 2): |pool| taken(pool, [0, 1]), [(0, shrink), (1, put)];
    shrink_get_two(blocks: 2, preemptions: Some(3)):
        |pool| only_free(pool, 2), [(0, shrink), (1, get_two)];
    shrink_words(blocks: 65, preemptions: Some(2)): two_words, [(0, shrink), (0, get_two)];
    shrink_put_get(blocks: 1, atomics: 128, preemptions: Some(1)): |pool| taken(pool, [1]),
        [(0, put_get), (1, get_put), (2, shrink)];
    shrink_put_get_one_cpu(blocks: 1, atomics: 96, preemptions: Some(1)): |pool| taken(pool, [1]),
        [(0, put_get), (0, get_put), (0, shrink)];
    // A page is there again, but not wholly, when the other takes its blocks.
    shrink_prefill(blocks: 1, preemptions: Some(3)): |pool| free(pool, 1),
        [(0, shrink), (1, shrink_reserve)];
    // One of two pages goes, or both, while the other CPU allocates.
    shrink_one_of_two(blocks: 1, pages: 2, preemptions: Some(3)): |pool| {
        let mut blocks = only(pool, [1, 1]);
        blocks[0].clear();
        blocks
    }, [(0, shrink), (1, put_get)];
    shrink_both(blocks: 1, pages: 2, preemptions: Some(3)): |pool| only_free(pool, 2),
        [(0, shrink), (1, get)];
    // A page is unpopulated and populated again, while a CPU allocates from it.
    shrink_grow_in_use(blocks: 2, atomics: 128, preemptions: Some(2)):
        |pool| free_elsewhere(pool, 2),
        [(0, shrink_get), (1, get)];
    // One shrinks, and the page has memory again, while the other is about to take all its bits.
    shrink_shrink_get(blocks: 1, atomics: 128, preemptions: Some(2)): |pool| free(pool, 1),
        [(0, shrink), (1, shrink), (2, get)];
    // The same, but nobody has a block of the page when it has memory again.
    shrink_shrink_reserve(blocks: 1, atomics: 160, preemptions: Some(2)): |pool| free(pool, 1),
        [(0, shrink), (1, shrink), (2, reserve)];

    // Freeing by address.
    one_page_checked(blocks: 2, checked: true): |pool| only_free(pool, 2),
        [(0, get_surely), (1, get_surely)];
    get_what_is_put_checked(blocks: 2, checked: true): |pool| only(pool, [2]),
        [(0, put), (0, get)];
    exchange_checked(blocks: 1, atomics: 96, checked: true, preemptions: Some(3)):
        |pool| only(pool, [1, 1]),
        [(0, put_get), (1, put_get)];
    grow_put_checked(blocks: 1, checked: true): |pool| taken(pool, [0, 1]), [(0, get), (1, put)];
    found_found(blocks: 1, checked: true): colliding, [(0, put), (1, put)];
    // One frees a block beside a free one, in a page that was found before; the other takes both.
    put_found_get(blocks: 3, checked: true): one_freed, [(0, put), (1, get_two)];
    // Whoever frees the first block of a page that was found before has to publish it.
    put_found_first(blocks: 2, checked: true): found_and_left, [(0, put), (1, put)];
    // One takes a block while the page is not quite filled, and frees it.
    grow_get_put_checked(blocks: 2, atomics: 128, checked: true, preemptions: Some(4)):
        empty_one_page, [(0, get), (1, get_put)];

    // Freeing what is not the caller's. It is nobody's all the time: others take what comes first.
    free_free(blocks: 1, checked: true, outcomes: one_is_late): loose,
        [(0, misfree), (1, misfree)];
    free_twice_get(blocks: 2, checked: true, outcomes: one_is_late): loose_and_free,
        [(0, misfree_twice), (1, get_surely)];
    misfree_odd(blocks: 3, checked: true, outcomes: all_refused): |pool| only(pool, [1]),
        [(0, misfree_odd)];
    misfree_odd_halves(blocks: 2, checked: true, outcomes: all_refused): |pool| only(pool, [1]),
        [(0, misfree_odd)];
    shrink_misfree(blocks: 1, checked: true, outcomes: all_refused): freed,
        [(0, shrink), (1, misfree)];
    grow_misfree(blocks: 2, checked: true, outcomes: all_refused): |pool| invented(pool, 1),
        [(0, get), (1, misfree)];
    grow_misfree_words(blocks: 65, checked: true, outcomes: all_refused): |pool| invented(pool, 64),
        [(0, get), (1, misfree)];
    reserve_misfree(blocks: 2, checked: true, outcomes: all_refused): |pool| invented(pool, 0),
        [(0, reserve), (1, misfree)];
    grow_put_misfree(blocks: 2, checked: true, outcomes: all_refused): |pool| invented(pool, 1),
        [(0, get_put), (1, misfree)];
    // One finds the page where the other has noted it.
    grow_misfree_misfree(blocks: 2, checked: true, outcomes: all_refused, preemptions: Some(2)):
        |pool| invented(pool, 1), [(0, get), (1, misfree), (1, misfree)];
    grow_misfree_get(
        blocks: 3, atomics: 128, checked: true, outcomes: all_refused, preemptions: Some(2)
    ): |pool| invented(pool, 2), [(0, get), (1, misfree), (2, get)];

    // Growing.
    // Another thread of the CPU goes on to another slab while this one adds a page ahead.
    grow_ahead(blocks: 1, atomics: 160, pages: 2, preemptions: Some(2)):
        many, [(0, get), (0, put_get)];
    grow_ahead_checked(blocks: 1, atomics: 160, pages: 2, checked: true, preemptions: Some(2)):
        many, [(0, get), (0, put_get)];
    // A new slab has a page for whoever has made it.
    grow_grow_surely(blocks: 1, preemptions: Some(2)):
        empty, [(0, get_surely), (0, get_surely)];
    grow_grow_surely_pages(blocks: 1, pages: 2, checked: true, preemptions: Some(2)):
        empty, [(0, get_surely), (0, get_surely)];
    // A slab gets its second page while the other thread allocates from the first.
    grow_in_slab(blocks: 2, pages: 2, preemptions: Some(3)): |pool| taken(pool, [2, 0]),
        [(0, get), (0, get_put)];
    grow_in_slab_checked(blocks: 2, pages: 2, checked: true, preemptions: Some(2)):
        |pool| taken(pool, [2, 0]), [(0, get), (0, get_put)];
    grow_in_slab_elsewhere(blocks: 2, pages: 2, checked: true, preemptions: Some(3)): in_one_slab,
        [(0, get), (1, put_get)];
    prefill_in_slab_checked(blocks: 2, pages: 2, checked: true, preemptions: Some(3)): in_one_slab,
        [(0, reserve), (1, get)];
    // A block of the second page is freed while the map, the words and the existence are set.
    grow_misfree_second(blocks: 2, pages: 2, checked: true, outcomes: all_refused):
        second_invented, [(0, get), (1, misfree)];
    grow_put_misfree_second(
        blocks: 2, pages: 2, checked: true, outcomes: all_refused, preemptions: Some(3)
    ): second_invented, [(0, get_put), (1, misfree_twice)];
    // One grows into a page that the other has vacated, or has left without memory.
    shrink_then_grow(blocks: 1, pages: 2, preemptions: Some(1)): |pool| free(pool, 2),
        [(0, shrink), (1, shrink_get)];
    grow_fail_grow(blocks: 1, pages: 2, preemptions: Some(3)): empty_one_page,
        [(0, get), (1, get_put)];
    // CPUs that share what they work on.
    shared(blocks: 1, shared: true, preemptions: Some(3)): |pool| only(pool, [1, 1]),
        [(0, put_get), (1, put_get)];
    shared_grow(blocks: 1, pages: 2, shared: true, preemptions: Some(3)): empty,
        [(0, get_surely), (1, get_surely)];
    // One searches all chunks while the other adds one.
    chunk_search(blocks: 1, atomics: 256, preemptions: Some(1)): |pool| taken(pool, [64, 0]),
        [(0, get), (1, get_put)];
    chunk_last_look(blocks: 1, atomics: 256, preemptions: Some(1)): |pool| taken(pool, [64, 1]),
        [(0, get), (1, put_get)];

    // A page is taken back while others are added.
    shrink_grow_ahead(blocks: 1, atomics: 160, pages: 2, preemptions: Some(2)):
        many, [(0, get_put), (1, shrink)];
    shrink_prefill_get(blocks: 1, atomics: 160, pages: 2, preemptions: Some(1)):
        |pool| free(pool, 2),
        [(0, shrink), (1, reserve), (0, get)];
    grow_in_slab_three(blocks: 2, atomics: 160, pages: 2, checked: true, preemptions: Some(1)):
        |pool| taken(pool, [1, 0, 1]), [(0, get), (0, get), (1, put)];

    // The map. The first table has room for two pages.
    map_full(blocks: 1, checked: true, preemptions: Some(3)): |pool| taken(pool, [1, 1]),
        [(0, get_put), (1, put)];
    map_full_twice(blocks: 1, checked: true, preemptions: Some(3)): |pool| taken(pool, [1, 1]),
        [(0, get_put), (1, get_put)];
    // Both find what is in the older table, and enter it in the newer one.
    map_promote(blocks: 1, checked: true): |pool| taken(pool, [1, 1, 1]), [(0, put), (1, put)];
    map_promote_one(blocks: 2, checked: true, preemptions: Some(3)): |pool| {
        let mut blocks = taken(pool, [1, 1, 2, 2]);
        blocks.truncate(2);
        blocks
    }, [(0, put), (1, put)];
    map_promote_misfree(blocks: 1, checked: true, outcomes: all_refused): |pool| {
        freed(pool);
        free(pool, 3)
    }, [(0, misfree), (1, misfree)];
    // Two pages whose numbers lead to the same place.
    map_same_place(blocks: 1, checked: true, preemptions: Some(3)): |_| {
        align_dma(256 * PAGE_SIZE);
        Vec::new()
    }, [(0, get_put), (1, get_put)];
    map_same_place_promote(blocks: 1, checked: true, preemptions: Some(4)): |pool| {
        align_dma(256 * PAGE_SIZE);
        taken(pool, [1, 1, 1])
    }, [(0, put), (1, put)];
    // Another table follows while a token's slab is looked for.
    map_tokens(blocks: 1, options: TOKENS): |pool| {
        TOKEN.set(alloc(pool).map(|block| block.let_out()));
        Vec::new()
    }, [(0, get), (1, turn_back)];

    grow_reserve(blocks: 2, preemptions: Some(7)): empty, [(0, reserve), (1, get)];
    grow_grow_fail(blocks: 2, preemptions: Some(4)): empty_one_page, [(0, get), (1, get)];
    grow_grow_one_cpu(blocks: 2, preemptions: Some(2)): empty, [(0, get), (0, get)];
    grow_grow(blocks: 2, preemptions: Some(4)): empty, [(0, get), (1, get)];

    // The reserve.
    reserve_put_get(blocks: 1, options: RESERVE): |pool| all(pool, [1, 0]),
        [(0, put), (1, get_atomic)];
    reserve_put_put(blocks: 1, options: RESERVE): paged_and_reserved, [(0, put), (1, put)];
    reserve_get_get(blocks: 2, options: RESERVE_OF_TWO): empty_and_closed,
        [(0, get_atomic_surely), (1, get_atomic_surely)];
    reserve_exchange(blocks: 1, options: RESERVE_OF_TWO, preemptions: Some(3)):
        |pool| all(pool, [1, 1]),
        [(0, put_get_atomic_surely), (1, put_get_atomic_surely)];
    reserve_exchange_pages(
        blocks: 1, pages: 2, options: RESERVE_OF_TWO, preemptions: Some(3)
    ): |pool| all(pool, [1, 1]),
        [(0, put_get_atomic_surely), (1, put_get_atomic_surely)];
    // One frees into the reserve, the other into a page, and each takes what the other has freed.
    reserve_exchange_kinds(blocks: 1, options: RESERVE): paged_and_reserved,
        [(0, put_get_atomic_surely), (1, put_get_atomic_surely)];
    reserve_shrink_put(blocks: 2, options: RESERVE): |pool| all(pool, [0, 1, 1]),
        [(0, shrink), (1, put), (0, put)];
    reserve_three(blocks: 1, atomics: 128, options: RESERVE, preemptions: Some(2)):
        paged_and_reserved, [(0, put), (1, put_get_atomic), (2, get_atomic)];
    reserve_three_shrink(blocks: 1, options: RESERVE, preemptions: Some(2)): paged_and_reserved,
        [(0, put), (1, put_get_atomic), (2, shrink)];

    // Tokens.
    tokens_of_three_words(blocks: 130, options: TOKENS): all_out_and_back, [(0, put)];
    token_twice(blocks: 1, options: TOKENS): out, [(0, turn_back), (1, turn_back)];
    // The token gets to the other thread by nothing that orders anything, as by a device.
    token_by_device(blocks: 1, options: TOKENS): |pool| {
        TOKEN.set(None);
        taken(pool, [1])
    }, [(0, let_out_and_turn_back), (1, turn_back)];
    token_three_times(blocks: 1, options: TOKENS): out,
        [(0, turn_back), (1, turn_back), (2, turn_back)];
    token_replayed(blocks: 1, options: TOKENS): out, [(0, turn_back), (1, turn_back_and_again)];
    token_replayed_after_free(blocks: 1, options: TOKENS): out,
        [(0, turn_back), (1, turn_back_free_and_again)];
    token_replayed_three(blocks: 1, options: TOKENS, preemptions: Some(2)): out,
        [(0, turn_back), (1, turn_back_free_and_again), (2, turn_back_and_again)];
    token_shrink(blocks: 1, options: TOKENS): out,
        [(0, shrink), (1, turn_back_free_and_again)];
    token_reserve(blocks: 1, options: TOKENS_AND_RESERVE): out,
        [(0, turn_back), (1, turn_back_free_and_again)];

    // Addresses.
    address_twice(blocks: 1, options: ADDRESSES): out_by_address,
        [(0, name_address), (1, name_address)];
    address_again(blocks: 1, options: ADDRESSES): out_by_address,
        [(0, name_address), (1, name_address_and_again)];
    // A page is added to the slab from which somebody allocates, who has a block of it out at once.
    address_of_new_page(blocks: 1, pages: 2, options: ADDRESSES, preemptions: Some(2)):
        |pool| taken(pool, [1]),
        [(0, reserve), (0, out_and_back)];
}
