//! What a chain must bear: every system call, and what goes wrong with it. Compiled beside this folder (see README.md).
use starknet::{ClassHash, ContractAddress};

#[starknet::interface]
pub trait IProbe<T> {
    fn set(ref self: T, key: felt252, value: felt252);
    fn get(self: @T, key: felt252) -> felt252;
    fn set_then_fail(ref self: T, key: felt252, value: felt252);
    fn fail(self: @T, reason: felt252);
    fn fail_long(self: @T);
    fn call(ref self: T, to: ContractAddress, selector: felt252, calldata: Array<felt252>) -> Span<felt252>;
    fn attempt(ref self: T, to: ContractAddress, selector: felt252, calldata: Array<felt252>) -> Array<felt252>;
    fn borrow(ref self: T, class: ClassHash, selector: felt252, calldata: Array<felt252>) -> Span<felt252>;
    fn recurse(ref self: T, depth: felt252) -> felt252;
    fn spin(self: @T) -> felt252;
    fn hoard(self: @T, count: u32) -> u32;
    fn events(ref self: T, count: u32, keys: u32, data: u32);
    fn info(self: @T) -> Array<felt252>;
    fn block_hash(self: @T, number: u64) -> felt252;
    fn class_of(self: @T, address: ContractAddress) -> ClassHash;
    fn become(ref self: T, class: ClassHash);
    fn message(self: @T, to: felt252, payload: Array<felt252>);
    fn deploy(ref self: T, class: ClassHash, salt: felt252, calldata: Array<felt252>, from_zero: bool) -> ContractAddress;
    fn keccak(self: @T, value: u256) -> u256;
    fn sha256(self: @T, text: ByteArray) -> [u32; 8];
    fn secp256k1(self: @T, hash: u256, r: u256, s: u256, y_parity: bool) -> (u256, u256);
    fn secp256r1(self: @T, hash: u256, r: u256, s: u256, y_parity: bool) -> (u256, u256);
    fn count_words(self: @T, words: Array<felt252>) -> Array<felt252>;
}

#[starknet::contract]
pub mod Probe {
    use core::dict::Felt252Dict;
    use starknet::secp256_trait::{Secp256PointTrait, Signature, recover_public_key};
    use starknet::secp256k1::Secp256k1Point;
    use starknet::secp256r1::Secp256r1Point;
    use starknet::storage::{Map, StorageMapReadAccess, StorageMapWriteAccess};
    use starknet::syscalls::{
        call_contract_syscall, deploy_syscall, emit_event_syscall, get_block_hash_syscall, get_class_hash_at_syscall,
        library_call_syscall, replace_class_syscall, send_message_to_l1_syscall,
    };
    use starknet::{ClassHash, ContractAddress, SyscallResultTrait, get_contract_address, get_execution_info};

    #[storage]
    struct Storage {
        cells: Map<felt252, felt252>,
    }

    #[constructor]
    fn constructor(ref self: ContractState, reason: felt252) {
        if reason != 0 {
            core::panic_with_felt252(reason);
        }
    }

    #[abi(embed_v0)]
    impl ProbeImpl of super::IProbe<ContractState> {
        fn set(ref self: ContractState, key: felt252, value: felt252) {
            self.cells.write(key, value);
        }

        fn get(self: @ContractState, key: felt252) -> felt252 {
            self.cells.read(key)
        }

        fn set_then_fail(ref self: ContractState, key: felt252, value: felt252) {
            self.cells.write(key, value);
            emit_event_syscall(array![key].span(), array![value].span()).unwrap_syscall();
            core::panic_with_felt252('after writing');
        }

        fn fail(self: @ContractState, reason: felt252) {
            core::panic_with_felt252(reason);
        }

        fn fail_long(self: @ContractState) {
            panic!("a reason of more than thirty-one characters, {} of them", 57);
        }

        fn call(
            ref self: ContractState, to: ContractAddress, selector: felt252, calldata: Array<felt252>,
        ) -> Span<felt252> {
            call_contract_syscall(to, selector, calldata.span()).unwrap_syscall()
        }

        fn attempt(
            ref self: ContractState, to: ContractAddress, selector: felt252, calldata: Array<felt252>,
        ) -> Array<felt252> {
            match call_contract_syscall(to, selector, calldata.span()) {
                Ok(answer) => {
                    let mut caught = array!['answered'];
                    caught.append_span(answer);
                    caught
                },
                Err(panic) => {
                    let mut caught = array!['caught'];
                    caught.append_span(panic.span());
                    caught
                },
            }
        }

        fn borrow(
            ref self: ContractState, class: ClassHash, selector: felt252, calldata: Array<felt252>,
        ) -> Span<felt252> {
            library_call_syscall(class, selector, calldata.span()).unwrap_syscall()
        }

        fn recurse(ref self: ContractState, depth: felt252) -> felt252 {
            if depth == 0 {
                return 0;
            }
            let answer = call_contract_syscall(
                get_contract_address(), selector!("recurse"), array![depth - 1].span(),
            )
                .unwrap_syscall();
            *answer[0] + 1
        }

        fn spin(self: @ContractState) -> felt252 {
            let mut turns = 0;
            loop {
                turns += 1;
                if turns == -1 {
                    break turns;
                }
            }
        }

        fn hoard(self: @ContractState, count: u32) -> u32 {
            let mut held = array![];
            for item in 0..count {
                held.append(item);
            }
            held.len()
        }

        fn events(ref self: ContractState, count: u32, keys: u32, data: u32) {
            for index in 0..count {
                let mut key_felts = array![];
                for _ in 0..keys {
                    key_felts.append(index.into());
                }
                let mut data_felts = array![];
                for item in 0..data {
                    data_felts.append(item.into());
                }
                emit_event_syscall(key_felts.span(), data_felts.span()).unwrap_syscall();
            }
        }

        fn info(self: @ContractState) -> Array<felt252> {
            let info = get_execution_info().unbox();
            let (block, tx) = (info.block_info.unbox(), info.tx_info.unbox());
            array![
                block.block_number.into(), block.block_timestamp.into(), block.sequencer_address.into(), tx.version,
                tx.account_contract_address.into(), tx.transaction_hash, tx.chain_id, tx.nonce,
                tx.resource_bounds.len().into(), tx.tip.into(), info.caller_address.into(),
                info.contract_address.into(), info.entry_point_selector,
            ]
        }

        fn block_hash(self: @ContractState, number: u64) -> felt252 {
            get_block_hash_syscall(number).unwrap_syscall()
        }

        fn class_of(self: @ContractState, address: ContractAddress) -> ClassHash {
            get_class_hash_at_syscall(address).unwrap_syscall()
        }

        fn become(ref self: ContractState, class: ClassHash) {
            replace_class_syscall(class).unwrap_syscall();
        }

        fn message(self: @ContractState, to: felt252, payload: Array<felt252>) {
            send_message_to_l1_syscall(to, payload.span()).unwrap_syscall();
        }

        fn deploy(
            ref self: ContractState, class: ClassHash, salt: felt252, calldata: Array<felt252>, from_zero: bool,
        ) -> ContractAddress {
            let (address, _) = deploy_syscall(class, salt, calldata.span(), from_zero).unwrap_syscall();
            address
        }

        fn keccak(self: @ContractState, value: u256) -> u256 {
            core::keccak::keccak_u256s_be_inputs(array![value].span())
        }

        fn sha256(self: @ContractState, text: ByteArray) -> [u32; 8] {
            core::sha256::compute_sha256_byte_array(@text)
        }

        fn secp256k1(self: @ContractState, hash: u256, r: u256, s: u256, y_parity: bool) -> (u256, u256) {
            match recover_public_key::<Secp256k1Point>(hash, Signature { r, s, y_parity }) {
                Some(point) => point.get_coordinates().unwrap_syscall(),
                None => (0, 0),
            }
        }

        fn secp256r1(self: @ContractState, hash: u256, r: u256, s: u256, y_parity: bool) -> (u256, u256) {
            match recover_public_key::<Secp256r1Point>(hash, Signature { r, s, y_parity }) {
                Some(point) => point.get_coordinates().unwrap_syscall(),
                None => (0, 0),
            }
        }

        fn count_words(self: @ContractState, words: Array<felt252>) -> Array<felt252> {
            let mut counts: Felt252Dict<felt252> = Default::default();
            for word in words.span() {
                counts.insert(*word, counts.get(*word) + 1);
            }
            let mut answer = array![];
            for word in words.span() {
                answer.append(counts.get(*word));
            }
            answer
        }
    }
}
