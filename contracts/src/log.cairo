//! The log as a Poseidon Merkle mountain range. The Python twin is `medsync_protocol/log.py`.
use core::poseidon::{hades_permutation, poseidon_hash_span};

/// Leaves a log may have: 2^32.
pub const MAX_SIZE: u64 = 0x100000000;
const MAX_HEIGHT: u32 = 32;
const TWO: NonZero<u64> = 2;

/// The parent of two nodes.
pub fn pair(left: felt252, right: felt252) -> felt252 {
    let (first, _, _) = hades_permutation(left, right, 2);
    first
}

/// Peaks highest first.
pub fn root(size: u64, peaks: Span<felt252>) -> felt252 {
    let mut felts = array!['MEDSYNC_LOG_1', size.into()];
    felts.append_span(peaks);
    poseidon_hash_span(felts.span())
}

/// Peaks at `new_size` from those at `old_size` (which the caller has bound to a root) and the aligned subtrees
/// between. Walks the old size's bits from the lowest, carrying the node under construction.
pub fn extend(old_size: u64, old_peaks: Span<felt252>, new_size: u64, nodes: Span<felt252>) -> Array<felt252> {
    assert(new_size > old_size, 'LOG_NOT_LARGER');
    assert(new_size <= MAX_SIZE, 'LOG_TOO_LARGE');
    let mut peaks = old_peaks;
    let mut proof = nodes;
    let mut at = old_size;
    let mut bits = old_size;
    let mut width: u64 = 1;
    let mut carry: Option<felt252> = Option::None;
    while bits != 0 || carry.is_some() {
        let (rest, bit) = DivRem::div_rem(bits, TWO);
        if bit == 1 && carry.is_some() {
            carry = Option::Some(pair(*peaks.pop_back().expect('BAD_PEAKS'), carry.unwrap()));
        } else if bit == 1 || carry.is_some() {
            if at + width > new_size {
                break;
            }
            let right = *proof.pop_front().expect('BAD_APPEND_PROOF');
            let left = match carry {
                Option::Some(node) => node,
                Option::None => *peaks.pop_back().expect('BAD_PEAKS'),
            };
            carry = Option::Some(pair(left, right));
            at += width;
        }
        bits = rest;
        width *= 2;
    }
    assert(ones(new_size - at) == proof.len(), 'BAD_APPEND_PROOF');
    let mut found = array![];
    found.append_span(peaks);
    if let Option::Some(node) = carry {
        found.append(node);
    }
    found.append_span(proof);
    found
}

/// Panics unless `leaf` stands at `index` of the log under `expected`. Siblings from the leaf up.
pub fn verify_entry(
    expected: felt252, size: u64, index: u64, leaf: felt252, peaks: Span<felt252>, siblings: Span<felt252>,
) {
    assert(root(size, peaks) == expected, 'BAD_PEAKS');
    assert(index < size, 'BAD_PATH');
    let (peak, height) = mountain_of(index, size, peaks);
    assert(siblings.len() == height, 'BAD_PATH');
    let mut node = leaf;
    let mut path = index;
    for sibling in siblings {
        let (rest, goes_right) = DivRem::div_rem(path, TWO);
        node = if goes_right == 0 {
            pair(node, *sibling)
        } else {
            pair(*sibling, node)
        };
        path = rest;
    }
    assert(node == peak, 'NOT_UNDER_ROOT');
}

/// The peak over `index` and its height.
fn mountain_of(index: u64, size: u64, peaks: Span<felt252>) -> (felt252, u32) {
    let mut peaks = peaks;
    let mut end: u64 = 0;
    let mut rest = size;
    let mut width = MAX_SIZE;
    let mut height = MAX_HEIGHT;
    loop {
        if rest >= width {
            let peak = *peaks.pop_front().expect('BAD_PEAKS');
            end += width;
            if index < end {
                break (peak, height);
            }
            rest -= width;
        }
        let (half, _) = DivRem::div_rem(width, TWO);
        width = half;
        height -= 1;
    }
}

fn ones(number: u64) -> u32 {
    let mut count = 0;
    let mut bits = number;
    while bits != 0 {
        let (rest, bit) = DivRem::div_rem(bits, TWO);
        if bit == 1 {
            count += 1;
        }
        bits = rest;
    }
    count
}
