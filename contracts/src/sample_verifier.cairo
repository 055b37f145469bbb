//! A transition verifier as an example, and for the hook's tests: a checkpoint may add so many leaves, no more.
//! It shows where a proof would be read (`evidence`), and reads none.
#[starknet::contract]
pub mod SampleVerifier {
    use starknet::storage::{StoragePointerReadAccess, StoragePointerWriteAccess};
    use crate::anchor::ITransitionVerifier;
    use crate::statement::Statement;

    #[storage]
    struct Storage {
        limit: u64,
    }

    #[constructor]
    fn constructor(ref self: ContractState, limit: u64) {
        self.limit.write(limit);
    }

    #[abi(embed_v0)]
    impl SampleVerifierImpl of ITransitionVerifier<ContractState> {
        fn verify_transition(
            self: @ContractState, head: Statement, next: Statement, digest: felt252, evidence: Span<felt252>,
        ) -> felt252 {
            if evidence.is_empty() && next.log_size - head.log_size <= self.limit.read() {
                'VALID'
            } else {
                'REFUSED'
            }
        }
    }
}
