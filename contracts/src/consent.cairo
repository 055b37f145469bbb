//! Lookups in the consent map, a compact sparse Merkle map. The Python twin is `medsync_protocol/consent_map.py`.
use core::poseidon::poseidon_hash_span;
use crate::log::pair;

/// The path is the key's low 128 bits, lowest first at the root.
const MAX_DEPTH: u32 = 128;
const TWO: NonZero<u128> = 2;

fn leaf(key: felt252, value: felt252) -> felt252 {
    poseidon_hash_span(array!['MEDSYNC_CONSENT_1', key, value].span())
}

/// True when `key` has `value` under `root`, false when it is proven absent; panics when nothing is proven.
/// Siblings from the root down; (`term_key`, `value`) is the leaf where the path ends, (0, 0) an empty place.
pub fn lookup(
    root: felt252, key: felt252, value: felt252, term_key: felt252, siblings: Span<felt252>,
) -> bool {
    assert(siblings.len() <= MAX_DEPTH, 'BAD_PATH');
    assert((term_key == 0) == (value == 0), 'BAD_TERMINAL');
    let wanted: u256 = key.into();
    let found: u256 = if term_key == 0 {
        wanted
    } else {
        term_key.into()
    };
    let mut wanted_bits = wanted.low;
    let mut found_bits = found.low;
    let mut way: Array<u128> = array![];
    for _ in 0..siblings.len() {
        let (wanted_rest, wanted_bit) = DivRem::div_rem(wanted_bits, TWO);
        let (found_rest, found_bit) = DivRem::div_rem(found_bits, TWO);
        assert(wanted_bit == found_bit, 'BAD_TERMINAL');
        way.append(wanted_bit);
        wanted_bits = wanted_rest;
        found_bits = found_rest;
    }
    let mut node = if term_key == 0 {
        0
    } else {
        leaf(term_key, value)
    };
    let mut turns = way.span();
    let mut above = siblings;
    while let Option::Some(sibling) = above.pop_back() {
        node = if *turns.pop_back().unwrap() == 0 {
            pair(node, *sibling)
        } else {
            pair(*sibling, node)
        };
    }
    assert(node == root, 'NOT_UNDER_ROOT');
    term_key != 0 && term_key == key
}
