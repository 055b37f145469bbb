//! Member lists and the votes of their members. The Python twin is in `medsync_protocol/statement.py`.
use core::ecdsa::check_ecdsa_signature;
use core::poseidon::poseidon_hash_span;

/// An event holds 300 felts, and a list must fit one whole.
pub const MAX_VOTERS: u32 = 250;
const CURVE_ORDER: u256 = 0x800000000000010ffffffffffffffffb781126dcae7b2321e66a241adc64d2f;

/// `index` is the signer's place in the member list.
#[derive(Drop, Copy, Serde)]
pub struct Vote {
    pub index: u32,
    pub r: felt252,
    pub s: felt252,
}

/// Hash of a list. Keys strictly ascending, so that none stands twice; not 0.
pub fn members_hash(keys: Span<felt252>) -> felt252 {
    assert(keys.len() >= 1 && keys.len() <= MAX_VOTERS, 'MEMBERS_SIZE');
    let mut last: u256 = 0;
    for key in keys {
        let number: u256 = (*key).into();
        assert(last < number, 'KEYS_NOT_ASCENDING');
        last = number;
    }
    listed_hash(keys)
}

/// The same for a list that was hashed by `members_hash` when it was announced.
pub fn listed_hash(keys: Span<felt252>) -> felt252 {
    let mut felts = array!['MEDSYNC_MEMBERS_1', keys.len().into()];
    felts.append_span(keys);
    poseidon_hash_span(felts.span())
}

/// Votes a checkpoint needs.
pub fn quorum(voters: u32) -> u32 {
    if voters <= 3 {
        voters / 2 + 1
    } else {
        2 * voters / 3 + 1
    }
}

/// Votes a recovery needs.
pub fn majority(voters: u32) -> u32 {
    voters / 2 + 1
}

/// Panics unless every vote is by the listed key at its index, no index twice.
pub fn check(digest: felt252, keys: Span<felt252>, votes: Span<Vote>) {
    let mut next: u32 = 0;
    for vote in votes {
        let index = *vote.index;
        assert(index < keys.len(), 'UNKNOWN_SIGNER');
        assert(index >= next, 'VOTES_NOT_ASCENDING');
        next = index + 1;
        check_signature(digest, *keys.at(index), *vote.r, *vote.s);
    }
}

/// Panics unless (r, s) is the key's signature, r and s both in 1..ORDER. (r, ORDER - s) passes as well: what is
/// signed must make replays harmless, never the signature's bytes.
pub fn check_signature(digest: felt252, key: felt252, r: felt252, s: felt252) {
    assert(in_range(r) && in_range(s), 'SIGNATURE_OUT_OF_RANGE');
    assert(check_ecdsa_signature(digest, key, r, s), 'BAD_SIGNATURE');
}

fn in_range(x: felt252) -> bool {
    x != 0 && x.into() < CURVE_ORDER
}
