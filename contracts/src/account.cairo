//! A single-key account (SNIP-6) for transactions of version 3. The key is public, fixed at deployment.
use starknet::account::Call;

#[starknet::interface]
pub trait IAccount<T> {
    fn __validate__(self: @T, calls: Array<Call>) -> felt252;
    fn __execute__(self: @T, calls: Array<Call>) -> Array<Span<felt252>>;
    fn __validate_declare__(self: @T, class_hash: felt252) -> felt252;
    fn __validate_deploy__(self: @T, class_hash: felt252, salt: felt252, public_key: felt252) -> felt252;
    fn is_valid_signature(self: @T, hash: felt252, signature: Array<felt252>) -> felt252;
    fn supports_interface(self: @T, interface_id: felt252) -> bool;
    fn public_key(self: @T) -> felt252;
}

#[starknet::contract(account)]
pub mod Account {
    use core::ecdsa::check_ecdsa_signature;
    use core::num::traits::Zero;
    use starknet::account::Call;
    use starknet::storage::{StoragePointerReadAccess, StoragePointerWriteAccess};
    use starknet::syscalls::call_contract_syscall;
    use starknet::{SyscallResultTrait, VALIDATED, get_caller_address, get_tx_info};

    const SNIP_5: felt252 = 0x3f918d17e5ee77373b56385708f855659a07f75997f365cf87748628532a055;
    const SNIP_6: felt252 = 0x2ceccef7f994940b3962a6c67e0ba4fcd37df7d131417c604f91e03caecc1cd;
    /// A simulated transaction's version is 2^128 + 3.
    const QUERY_VERSION: felt252 = 0x100000000000000000000000000000003;

    /// Named as nodes expect an account's key to be named.
    #[storage]
    struct Storage {
        Account_public_key: felt252,
    }

    #[constructor]
    fn constructor(ref self: ContractState, public_key: felt252) {
        self.Account_public_key.write(public_key);
    }

    #[generate_trait]
    impl Private of PrivateTrait {
        fn signed(self: @ContractState, hash: felt252, signature: Span<felt252>) -> bool {
            signature.len() == 2
                && check_ecdsa_signature(hash, self.Account_public_key.read(), *signature.at(0), *signature.at(1))
        }

        fn validate(self: @ContractState) -> felt252 {
            let tx = get_tx_info().unbox();
            assert(self.signed(tx.transaction_hash, tx.signature), 'Account: invalid signature');
            VALIDATED
        }
    }

    #[abi(embed_v0)]
    impl AccountImpl of super::IAccount<ContractState> {
        fn __validate__(self: @ContractState, calls: Array<Call>) -> felt252 {
            self.validate()
        }

        fn __execute__(self: @ContractState, calls: Array<Call>) -> Array<Span<felt252>> {
            assert(get_caller_address().is_zero(), 'Account: invalid caller');
            let version = get_tx_info().unbox().version;
            assert(version == 3 || version == QUERY_VERSION, 'Account: invalid tx version');
            let mut answers = array![];
            for call in calls {
                let Call { to, selector, calldata } = call;
                answers.append(call_contract_syscall(to, selector, calldata).unwrap_syscall());
            }
            answers
        }

        fn __validate_declare__(self: @ContractState, class_hash: felt252) -> felt252 {
            self.validate()
        }

        fn __validate_deploy__(
            self: @ContractState, class_hash: felt252, salt: felt252, public_key: felt252,
        ) -> felt252 {
            self.validate()
        }

        fn is_valid_signature(self: @ContractState, hash: felt252, signature: Array<felt252>) -> felt252 {
            if self.signed(hash, signature.span()) {
                VALIDATED
            } else {
                0
            }
        }

        fn supports_interface(self: @ContractState, interface_id: felt252) -> bool {
            interface_id == SNIP_5 || interface_id == SNIP_6
        }

        fn public_key(self: @ContractState) -> felt252 {
            self.Account_public_key.read()
        }
    }
}
