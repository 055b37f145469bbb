//! What a payee signs to be paid: SNIP-12 typed data, revision 1, so that wallets can show it. `account` is the
//! payee's key. Version "1" and revision "1" are hashed as the number 1. The Python twin is `medsync_protocol/claims.py`.
use core::poseidon::poseidon_hash_span;

const DOMAIN_TYPE: felt252 = selector!(
    "\"StarknetDomain\"(\"name\":\"shortstring\",\"version\":\"shortstring\",\"chainId\":\"shortstring\",\"revision\":\"shortstring\")",
);
const CLAIM_TYPE: felt252 = selector!(
    "\"Claim\"(\"contract\":\"ContractAddress\",\"pool\":\"felt\",\"recipient\":\"ContractAddress\",\"cumulative\":\"u128\",\"deadline\":\"timestamp\")",
);

/// The hash over which the payee's signature is.
pub fn claim_hash(
    chain_id: felt252,
    contract: felt252,
    payee: felt252,
    pool: felt252,
    recipient: felt252,
    cumulative: u128,
    deadline: u64,
) -> felt252 {
    let domain = poseidon_hash_span(array![DOMAIN_TYPE, 'MedSync rewards', 1, chain_id, 1].span());
    let message = poseidon_hash_span(
        array![CLAIM_TYPE, contract, pool, recipient, cumulative.into(), deadline.into()].span(),
    );
    poseidon_hash_span(array!['StarkNet Message', domain, payee, message].span())
}
