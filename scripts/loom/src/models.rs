// SPDX-License-Identifier: GPL-2.0

//! The models. Each is a state of the pool and some threads that start from there.
//!
//! What must hold in the end is in `run.rs`. A model is explored wholly if it says no number of
//! preemptions.

use crate::run::*;
use kernel::{
    model::{
        limit_dma,
        run_on, //
    },
    page::PAGE_SIZE,
    prelude::*,
};

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

fn reserve(pool: Pool, blocks: Blocks) -> Blocks {
    let _ = pool.prefill(2, GFP_KERNEL);
    blocks
}

// The state they start from.

/// Nothing.
fn empty(_: Pool) -> Vec<Blocks> {
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

/// `count` blocks that are all free. The last page is CPU 0's current one.
fn free(pool: Pool, count: usize) -> Vec<Blocks> {
    drop(taken(pool, [count]));
    Vec::new()
}

/// The same, and no more pages can be had.
fn only_free(pool: Pool, count: usize) -> Vec<Blocks> {
    drop(only(pool, [count]));
    Vec::new()
}

/// `count` blocks that are all free, in pages that no CPU works on, and no more can be had.
fn announced(pool: Pool, count: usize) -> Vec<Blocks> {
    pool.prefill(count, GFP_KERNEL).unwrap();
    limit_dma(0);
    Vec::new()
}

/// Pages of one block. One is CPU 0's current one, and its block the last thread's; CPU 0 has freed
/// into the other.
fn current_and_freed(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [1, 1]);

    blocks[0].clear();
    blocks
}

/// Pages of one block, the last 3 in a tree of height 1, and for its leaf a stale announcement.
/// The block of page 65 is the last thread's, page 66 is free, and CPU 1 has freed into it.
fn stale_announcement(pool: Pool) -> Vec<Blocks> {
    let mut blocks = only(pool, [64, 1, 1, 1]);

    // Make another page CPU 0's current one.
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
    three_in_two_pages(blocks: 2): |pool| only_free(pool, 3),
        [(0, get_surely), (1, get_surely), (2, get_surely)];
    // One finds the page while the other has taken its announcement.
    search_search(blocks: 2): |pool| announced(pool, 2), [(0, get_surely), (1, get_surely)];
    search_search_one_cpu(blocks: 1): |pool| announced(pool, 2), [(0, get_surely), (0, get_surely)];
    bulk_bulk(blocks: 3): |pool| only_free(pool, 3), [(0, get_bulk), (1, get_bulk)];

    // Freeing.
    get_what_is_put(blocks: 1): |pool| only(pool, [1]), [(0, put), (1, get)];
    get_what_is_put_one_cpu(blocks: 1): |pool| only(pool, [1]), [(0, put), (0, get)];
    bulk_what_is_put(blocks: 3): |pool| only(pool, [2]), [(0, put), (0, get_bulk)];
    exchange(blocks: 1): |pool| only(pool, [1, 1]), [(0, put_get), (1, put_get)];
    put_put_get(blocks: 1): |pool| only(pool, [1, 1]), [(1, put), (2, put), (0, get)];
    put_put_one_page(blocks: 2): |pool| only(pool, [1, 1, 1]), [(1, put), (2, put)];
    put_put_one_cpu(blocks: 1): |pool| only(pool, [1, 1, 1]), [(0, put), (0, put)];

    exchange_twice(blocks: 2): |pool| only(pool, [2, 2]), [(0, put_put_get), (1, put_put_get)];
    exchange_three(blocks: 1, preemptions: Some(1)): |pool| only(pool, [1, 1]),
        [(0, put_get), (0, put_get), (0, get_put)];

    // Current pages.
    put_while_replaced(blocks: 1): current_and_freed, [(0, get), (0, put)];
    put_while_replaced_elsewhere(blocks: 1): current_and_freed, [(0, get), (1, put)];
    // A search clears an announcement that is made again.
    announce_while_searched(blocks: 1, atomics: 256): stale_announcement, [(0, get), (1, put)];

    // Who makes a tree, and a leaf below its root?
    grow_grow_tree(blocks: 1, preemptions: Some(1)): |pool| taken(pool, [64]), [(0, get), (1, get)];

    // Shrinking.
    shrink_get(blocks: 2): |pool| free(pool, 2), [(0, shrink), (1, get)];
    shrink_get_fail(blocks: 2): |pool| only_free(pool, 2), [(0, shrink), (1, get)];
    shrink_get_put(blocks: 1): |pool| free(pool, 1), [(0, shrink), (0, get_put)];
    shrink_put(blocks: 2): |pool| taken(pool, [0, 1]), [(0, shrink), (1, put)];
    shrink_bulk(blocks: 2): |pool| only_free(pool, 2), [(0, shrink), (1, get_bulk)];
    shrink_words(blocks: 65): two_words, [(0, shrink), (0, get_two)];
    shrink_put_get(blocks: 1, preemptions: Some(2)): |pool| taken(pool, [1]),
        [(0, put_get), (1, get_put), (2, shrink)];
    shrink_put_get_one_cpu(blocks: 1, preemptions: Some(1)): |pool| taken(pool, [1]),
        [(0, put_get), (0, get_put), (0, shrink)];
    // One shrinks, and the page has memory again, while the other is about to take all its bits.
    shrink_shrink_get(blocks: 1, preemptions: Some(2)): |pool| free(pool, 1),
        [(0, shrink), (1, shrink), (2, get)];
    // The same, and the page has more blocks than before, of which one is free.
    shrink_shrink_grow(blocks: 1, joins: true): free_and_large,
        [(0, shrink), (0, |pool, blocks| {
            let mut blocks = get_two(pool, shrink(pool, blocks));

            blocks.swap_remove(0);
            blocks
        })];

    // Growing.
    grow_reserve(blocks: 2): empty, [(0, reserve), (1, get)];
    grow_grow_fail(blocks: 2): empty_one_page, [(0, get), (1, get)];
    grow_grow_one_cpu(blocks: 2, preemptions: Some(3)): empty, [(0, get), (0, get)];
    grow_grow(blocks: 2): empty, [(0, get), (1, get)];
}
