//! The pay tree: who has earned how much so far, a Merkle tree whose nodes carry the sums below them, and the root
//! that stands in a statement. The Python twin is `medsync_protocol/rewards.py`.
use core::num::traits::CheckedAdd;
use core::poseidon::poseidon_hash_span;

/// Four thousand million payees.
const MAX_DEPTH: u32 = 32;
const TWO: NonZero<u64> = 2;

/// A subtree: its hash and the sum of its leaves. An empty place is (0, 0).
#[derive(Drop, Copy, Serde, PartialEq)]
pub struct Subtree {
    pub hash: felt252,
    pub sum: u128,
}

/// A pool's name: all of its settings and its place, so that one root never counts in two pools.
pub fn pool_hash(
    chain_id: felt252, contract: felt252, context: felt252, token: felt252, window: u32, salt: felt252,
) -> felt252 {
    poseidon_hash_span(
        array!['MEDSYNC_POOL_1', chain_id, contract, context, token, window.into(), salt].span(),
    )
}

/// `Statement.reward_root`.
pub fn reward_root(pool: felt252, tree_hash: felt252, sum: u128) -> felt252 {
    poseidon_hash_span(array!['MEDSYNC_PAY_ROOT_1', pool, tree_hash, sum.into()].span())
}

fn leaf(payee: felt252, cumulative: u128) -> Subtree {
    Subtree {
        hash: poseidon_hash_span(array!['MEDSYNC_PAY_LEAF_1', payee, cumulative.into()].span()), sum: cumulative,
    }
}

fn node(left: Subtree, right: Subtree) -> Subtree {
    let sum = left.sum.checked_add(right.sum).expect('BAD_PROOF');
    let hash = poseidon_hash_span(
        array!['MEDSYNC_PAY_NODE_1', left.hash, left.sum.into(), right.hash, right.sum.into()].span(),
    );
    Subtree { hash, sum }
}

/// Panics unless `payee` has `cumulative` at `index` of the tree `root`. Siblings from the leaf up.
pub fn check(root: Subtree, payee: felt252, index: u64, cumulative: u128, path: Span<Subtree>) {
    assert(path.len() <= MAX_DEPTH, 'BAD_PROOF');
    let mut found = leaf(payee, cumulative);
    let mut place = index;
    for sibling in path {
        let (above, right) = DivRem::div_rem(place, TWO);
        found = if right == 0 {
            node(found, *sibling)
        } else {
            node(*sibling, found)
        };
        place = above;
    }
    assert(place == 0, 'BAD_INDEX');
    assert(found == root, 'BAD_PROOF');
}
