//! A token that does not do as it should, for the reward pool's tests: it may keep a part of what is sent, answer
//! false, or call a pool back while it takes a deposit. Everyone has everything.

#[starknet::interface]
pub trait IOddToken<T> {
    /// Keeps `part` of every deposit; refuses when `refuses`; deposits `again` into `pool` while it takes a deposit.
    fn set(ref self: T, part: u256, refuses: bool, pool: felt252, again: u128);
}

#[starknet::contract]
pub mod OddToken {
    use starknet::storage::{
        Map, StorageMapReadAccess, StorageMapWriteAccess, StoragePointerReadAccess, StoragePointerWriteAccess,
    };
    use starknet::{ContractAddress, get_caller_address};
    use crate::reward_pool::{IPayToken, IRewardPoolDispatcher, IRewardPoolDispatcherTrait};

    #[storage]
    struct Storage {
        part: u256,
        refuses: bool,
        pool: felt252,
        again: u128,
        balances: Map<ContractAddress, u256>,
    }

    #[abi(embed_v0)]
    impl OddTokenImpl of super::IOddToken<ContractState> {
        fn set(ref self: ContractState, part: u256, refuses: bool, pool: felt252, again: u128) {
            self.part.write(part);
            self.refuses.write(refuses);
            self.pool.write(pool);
            self.again.write(again);
        }
    }

    #[abi(embed_v0)]
    impl PayTokenImpl of IPayToken<ContractState> {
        fn balance_of(self: @ContractState, account: ContractAddress) -> u256 {
            self.balances.read(account)
        }

        fn transfer(ref self: ContractState, recipient: ContractAddress, amount: u256) -> bool {
            let caller = get_caller_address();
            self.balances.write(caller, self.balances.read(caller) - amount);
            self.balances.write(recipient, self.balances.read(recipient) + amount);
            !self.refuses.read()
        }

        fn transfer_from(
            ref self: ContractState, sender: ContractAddress, recipient: ContractAddress, amount: u256,
        ) -> bool {
            let again = self.again.read();
            if again > 0 {
                self.again.write(0);
                let caller = IRewardPoolDispatcher { contract_address: get_caller_address() };
                caller.deposit(self.pool.read(), again);
            }
            self.balances.write(recipient, self.balances.read(recipient) + amount - self.part.read());
            !self.refuses.read()
        }
    }
}
