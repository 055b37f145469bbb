//! Deploys contracts for whoever calls, as the Universal Deployer Contract does, under both of its spellings.
use starknet::{ClassHash, ContractAddress};

#[starknet::interface]
pub trait IDeployer<T> {
    /// `unique`: the address depends on the caller and on this contract; else on salt, class and calldata alone.
    fn deployContract(
        ref self: T, class_hash: ClassHash, salt: felt252, unique: bool, calldata: Span<felt252>,
    ) -> ContractAddress;
    fn deploy_contract(
        ref self: T, class_hash: ClassHash, salt: felt252, not_from_zero: bool, calldata: Span<felt252>,
    ) -> ContractAddress;
}

#[starknet::contract]
pub mod Deployer {
    use core::pedersen::pedersen;
    use starknet::syscalls::deploy_syscall;
    use starknet::{ClassHash, ContractAddress, SyscallResultTrait, get_caller_address};

    #[storage]
    struct Storage {}

    #[event]
    #[derive(Drop, starknet::Event)]
    enum Event {
        ContractDeployed: ContractDeployed,
    }

    /// Named and ordered as clients of the Universal Deployer Contract read it.
    #[derive(Drop, starknet::Event)]
    struct ContractDeployed {
        address: ContractAddress,
        deployer: ContractAddress,
        unique: bool,
        classHash: ClassHash,
        calldata: Span<felt252>,
        salt: felt252,
    }

    #[generate_trait]
    impl Private of PrivateTrait {
        fn deploy(
            ref self: ContractState, class_hash: ClassHash, salt: felt252, unique: bool, calldata: Span<felt252>,
        ) -> ContractAddress {
            let deployer = get_caller_address();
            let used_salt = if unique {
                pedersen(deployer.into(), salt)
            } else {
                salt
            };
            let (address, _) = deploy_syscall(class_hash, used_salt, calldata, !unique).unwrap_syscall();
            self.emit(ContractDeployed { address, deployer, unique, classHash: class_hash, calldata, salt });
            address
        }
    }

    #[abi(embed_v0)]
    impl DeployerImpl of super::IDeployer<ContractState> {
        fn deployContract(
            ref self: ContractState, class_hash: ClassHash, salt: felt252, unique: bool, calldata: Span<felt252>,
        ) -> ContractAddress {
            self.deploy(class_hash, salt, unique, calldata)
        }

        fn deploy_contract(
            ref self: ContractState, class_hash: ClassHash, salt: felt252, not_from_zero: bool, calldata: Span<felt252>,
        ) -> ContractAddress {
            self.deploy(class_hash, salt, not_from_zero, calldata)
        }
    }
}
