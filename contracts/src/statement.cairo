//! Statements and the hashes that name them. The Python twin is `medsync_protocol/statement.py`.
use core::poseidon::poseidon_hash_span;

/// What voters sign. `members` and `next_members` are hashes of lists (`votes::members_hash`), `prev` is the
/// digest of k-1, `not_before` is in seconds.
#[derive(Drop, Copy, Serde)]
pub struct Statement {
    pub context: felt252,
    pub k: u64,
    pub prev: felt252,
    pub members: felt252,
    pub next_members: felt252,
    pub consent_root: felt252,
    pub log_root: felt252,
    pub log_size: u64,
    pub reward_root: felt252,
    pub detail: felt252,
    pub not_before: u64,
}

/// Binds chain and contract, so that a statement counts in one place only.
pub fn digest(statement: @Statement, chain_id: felt252, contract: felt252) -> felt252 {
    let mut felts = array!['MEDSYNC_CHECKPOINT_1', chain_id, contract];
    statement.serialize(ref felts);
    poseidon_hash_span(felts.span())
}

/// A context's name holds its founder's key: nobody else can open it.
pub fn context_hash(founder: felt252, genesis: u256) -> felt252 {
    poseidon_hash_span(
        array!['MEDSYNC_CONTEXT_1', founder, genesis.low.into(), genesis.high.into()].span(),
    )
}

/// What the founder signs. `members` is the first list's hash.
pub fn opening_digest(
    chain_id: felt252, contract: felt252, context: felt252, members: felt252, verifier: felt252, recovery_delay: u64,
) -> felt252 {
    poseidon_hash_span(
        array!['MEDSYNC_OPEN_1', chain_id, contract, context, members, verifier, recovery_delay.into()].span(),
    )
}

/// Statement 0, which no one signs but the founder.
pub fn opening_statement(context: felt252, members: felt252) -> Statement {
    Statement {
        context,
        k: 0,
        prev: 0,
        members,
        next_members: members,
        consent_root: 0,
        log_root: crate::log::root(0, array![].span()),
        log_size: 0,
        reward_root: 0,
        detail: 0,
        not_before: 0,
    }
}
