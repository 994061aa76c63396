// SPDX-License-Identifier: GPL-2.0

//! The models. Each is a state of the pool and some threads that start from there.
//!
//! What must hold in the end is in `run.rs`. A model is explored wholly if it says no number of
//! preemptions.

use crate::{
    checked_free::BadFree,
    run::*,
    tokens::RawBlock,
    Options, //
};
use kernel::{
    dma::Coherent,
    model::{
        align_dma,
        limit_dma,
        limit_entries,
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

/// Allocates a block of this CPU's page, which is then found by its numbers.
fn get_known(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.extend(alloc_at_once(pool));
    assert!(blocks.iter().all(Owned::is_known), "a block is not known");
    blocks
}

fn get_two(pool: Pool, blocks: Blocks) -> Blocks {
    get(pool, get(pool, blocks))
}

fn get_bulk(pool: Pool, mut blocks: Blocks) -> Blocks {
    blocks.extend(alloc_bulk(pool, 2));
    blocks
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

fn reserve(pool: Pool, blocks: Blocks) -> Blocks {
    let _ = pool.prefill(2, GFP_KERNEL);
    blocks
}

/// Frees the target, whether it is there or not.
fn misfree(pool: Pool, blocks: Blocks) -> Blocks {
    free_target(pool);
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

/// Pages of one block, the last 3 in a tree of height 1, and for its leaf a stale announcement.
/// The block of page 65 is the last thread's, page 66 is free, and CPU 1 has freed into it.
fn stale_announcement(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [64, 1, 1, 1]);

    // Have CPU 0 allocate from another page.
    blocks[0].pop();
    blocks[0].extend(alloc(pool));

    run_on(1);
    blocks[1].clear();
    blocks[3].clear();
    // Page 64 is announced now, and this takes it.
    blocks[1].extend(alloc(pool));
    run_on(0);
    blocks.swap(1, 2);
    let others = blocks.split_off(2).into_iter().flatten();
    blocks[0].extend(others);
    blocks
}

/// A free page of one block, and others of which none is free. The next page has two blocks.
fn free_and_large(pool: Pool) -> Vec<Blocks> {
    let mut blocks = taken(pool, [6]);

    blocks[0].remove(0);
    blocks
}

/// A free page of two words, in which the next block to be taken is the only one of the second.
fn two_words(pool: Pool) -> Vec<Blocks> {
    free(pool, 65)
}

/// Has CPU 0 give back the other twin of what it takes.
fn use_twins(pool: Pool) {
    pool.this_cpu().use_twins(&pool.spec);
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

/// The same, and the page has its memory already, but could not be entered into the index.
fn invented_and_kept(pool: Pool, index: usize) -> Vec<Blocks> {
    invented(pool, index);
    limit_entries(0);
    assert!(alloc(pool).is_none());
    limit_entries(1);
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

// Reserves and tokens.

const RESERVE: Options = Options::new().min_nr(1);
const RESERVE_OF_TWO: Options = Options::new().min_nr(2);
const TOKENS: Options = Options::new().tokens();
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

fn refill(pool: Pool, blocks: Blocks) -> Blocks {
    let _ = pool.refill(GFP_KERNEL);
    blocks
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

/// Turns the token back, and has the block out once more, by itself.
fn turn_back_and_again(pool: Pool, mut blocks: Blocks) -> Blocks {
    if let Some(block) = TOKEN.get().and_then(|token| take_back(pool, token)) {
        let next = block.let_out();

        blocks.push(take_back(pool, next).expect("nobody else knows it"));
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
    bulk_bulk(blocks: 3): |pool| only_free(pool, 3), [(0, get_bulk), (1, get_bulk)];
    // A block is free all the time: one frees its block and then takes the other one. Whoever finds
    // that one taken must not give up.
    last_look(blocks: 1): one_free_one_taken, [(0, put_get), (1, get_surely)];

    // Freeing.
    get_what_is_put(blocks: 1): |pool| only(pool, [1]), [(0, put), (1, get)];
    get_what_is_put_one_cpu(blocks: 1): |pool| only(pool, [1]), [(0, put), (0, get)];
    bulk_what_is_put(blocks: 3): |pool| only(pool, [2]), [(0, put), (0, get_bulk)];
    exchange(blocks: 1): |pool| only(pool, [1, 1]), [(0, put_get), (1, put_get)];
    put_put_get(blocks: 1): |pool| only(pool, [1, 1]), [(1, put), (2, put), (0, get)];
    put_put_one_page(blocks: 2): |pool| only(pool, [1, 1, 1]), [(1, put), (2, put)];
    put_put_one_cpu(blocks: 1): |pool| only(pool, [1, 1, 1]), [(0, put), (0, put)];

    exchange_twice(blocks: 2): |pool| only(pool, [2, 2]), [(0, put_put_get), (1, put_put_get)];
    exchange_three(blocks: 1, atomics: 96, preemptions: Some(1)): |pool| only(pool, [1, 1]),
        [(0, put_get), (0, put_get), (0, get_put)];

    // Current pages.
    put_while_replaced(blocks: 1): alloc_page_and_freed, [(0, get), (0, put)];
    put_while_replaced_elsewhere(blocks: 1): alloc_page_and_freed, [(0, get), (1, put)];
    // A search clears an announcement that is made again.
    announce_while_searched(blocks: 1, preemptions: Some(4)): stale_announcement,
        [(0, get), (1, put)];

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
    twins_shrink_get(blocks: 2): halves, [(0, shrink), (1, get)];
    twins_shrink_put(blocks: 2): |pool| {
        halves(pool);
        taken(pool, [0, 1])
    }, [(0, shrink), (1, put)];
    // A CPU goes on from a page that has nothing but second bits.
    twins_replaced(blocks: 2): twins_last,
        [(1, |pool, blocks| put(pool, put(pool, put(pool, blocks))))];
    twins_too_many(blocks: 600): too_many_for_twins, [(0, put_get)];

    // Who makes a tree, and a leaf below its root?
    grow_grow_tree(blocks: 1, atomics: 96, preemptions: Some(2)): |pool| taken(pool, [64]),
        [(0, get), (1, get)];

    // Shrinking.
    shrink_get(blocks: 2): |pool| free(pool, 2), [(0, shrink), (1, get)];
    shrink_get_fail(blocks: 2): |pool| only_free(pool, 2), [(0, shrink), (1, get)];
    shrink_get_put(blocks: 1, preemptions: Some(4)):
        |pool| free(pool, 1), [(0, shrink), (0, get_put)];
    shrink_put(blocks: 2): |pool| taken(pool, [0, 1]), [(0, shrink), (1, put)];
    shrink_bulk(blocks: 2): |pool| only_free(pool, 2), [(0, shrink), (1, get_bulk)];
    shrink_words(blocks: 65, preemptions: Some(5)): two_words, [(0, shrink), (0, get_two)];
    shrink_put_get(blocks: 1, atomics: 128, preemptions: Some(1)): |pool| taken(pool, [1]),
        [(0, put_get), (1, get_put), (2, shrink)];
    shrink_put_get_one_cpu(blocks: 1, atomics: 96, preemptions: Some(1)): |pool| taken(pool, [1]),
        [(0, put_get), (0, get_put), (0, shrink)];
    // A page is unpopulated and populated again, while a CPU allocates from it.
    shrink_grow_in_use(blocks: 2): |pool| free_elsewhere(pool, 2),
        [(0, shrink_get), (1, get_known)];
    // One shrinks, and the page has memory again, while the other is about to take all its bits.
    shrink_shrink_get(blocks: 1, preemptions: Some(2)): |pool| free(pool, 1),
        [(0, shrink), (1, shrink), (2, get)];
    // The same, and the page has more blocks than before, of which one is free.
    shrink_shrink_grow(blocks: 1, atomics: 128, joins: true, preemptions: Some(4)): free_and_large,
        [(0, shrink), (0, |pool, blocks| {
            let mut blocks = get_two(pool, shrink(pool, blocks));

            blocks.swap_remove(0);
            blocks
        })];
    // The same, and all of them are free.
    shrink_shrink_grow_free(blocks: 1, atomics: 128, joins: true, preemptions: Some(2)):
        free_and_large, [(0, shrink), (0, |pool, blocks| {
            drop(get_two(pool, shrink(pool, blocks)));
            Vec::new()
        })];

    // Freeing by address.
    one_page_checked(blocks: 2, checked: true): |pool| only_free(pool, 2),
        [(0, get_surely), (1, get_surely)];
    get_what_is_put_checked(blocks: 2, checked: true): |pool| only(pool, [2]),
        [(0, put), (0, get)];
    exchange_checked(blocks: 1, atomics: 96, checked: true): |pool| only(pool, [1, 1]),
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
    shrink_misfree(blocks: 1, checked: true, outcomes: all_refused): freed,
        [(0, shrink), (1, misfree)];
    grow_misfree(blocks: 2, checked: true, outcomes: all_refused): |pool| invented(pool, 1),
        [(0, get), (1, misfree)];
    grow_misfree_words(blocks: 65, checked: true, outcomes: all_refused): |pool| invented(pool, 64),
        [(0, get), (1, misfree)];
    grow_misfree_kept(blocks: 2, checked: true, outcomes: all_refused):
        |pool| invented_and_kept(pool, 1), [(0, get), (1, misfree)];
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
    reserve_exchange(blocks: 1, options: RESERVE_OF_TWO): |pool| all(pool, [1, 1]),
        [(0, put_get_atomic_surely), (1, put_get_atomic_surely)];
    // One frees into the reserve, the other into a page, and each takes what the other has freed.
    reserve_exchange_kinds(blocks: 1, options: RESERVE): paged_and_reserved,
        [(0, put_get_atomic_surely), (1, put_get_atomic_surely)];
    reserve_shrink_put(blocks: 2, options: RESERVE): |pool| all(pool, [0, 1, 1]),
        [(0, shrink), (1, put), (0, put)];
    reserve_refill_get(blocks: 2, options: RESERVE): |pool| {
        let blocks = all(pool, [2]);
        limit_dma(usize::MAX);
        blocks
    }, [(0, refill), (1, get_atomic)];
    reserve_refill_put(blocks: 2, options: RESERVE): |pool| {
        let blocks = all(pool, [0, 2]);
        limit_dma(usize::MAX);
        blocks
    }, [(0, refill), (1, put)];
    reserve_three(blocks: 1, atomics: 96, options: RESERVE, preemptions: Some(2)):
        paged_and_reserved, [(0, put), (1, put_get_atomic), (2, refill)];
    reserve_three_shrink(blocks: 1, options: RESERVE, preemptions: Some(2)): paged_and_reserved,
        [(0, put), (1, put_get_atomic), (2, shrink)];

    // Tokens.
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
}
