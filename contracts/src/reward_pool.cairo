//! Reward pools: pays what a context's accepted checkpoints say its members have earned, from what was deposited.
//!
//! A statement's `reward_root` names the pool, a pay tree and its sum; the anchor's word that the statement was
//! accepted is enough, no second quorum is asked. Between proposal and activation lies a window in which a third of
//! the members may veto. The sums in a tree do not bound claims over several roots (one root may move to B what A has
//! drawn already): every claim is held against `claimed_total`. The Python twin is `medsync_protocol/reward_pool.py`.
use starknet::ContractAddress;
use crate::pay_tree::Subtree;
use crate::statement::Statement;
use crate::votes::Vote;

/// `deposited` is less what was swept; `active_*` the root that claims are held against; `last_k` the highest k ever
/// proposed here.
#[derive(Drop, Copy, Serde, starknet::Store)]
pub struct Pool {
    pub context: felt252,
    pub token: ContractAddress,
    pub window: u32,
    pub deposited: u128,
    pub claimed_total: u128,
    pub swept_total: u128,
    pub last_k: u64,
    pub active_tree: felt252,
    pub active_sum: u128,
}

/// A proposed root; none while `k` is 0. `members` is the hash of the list that signed its statement.
#[derive(Drop, Copy, Serde, starknet::Store)]
pub struct Pending {
    pub k: u64,
    pub members: felt252,
    pub tree_hash: felt252,
    pub sum: u128,
    pub ready_at: u64,
}

/// What the pool needs of an ERC-20.
#[starknet::interface]
pub trait IPayToken<T> {
    fn balance_of(self: @T, account: ContractAddress) -> u256;
    fn transfer(ref self: T, recipient: ContractAddress, amount: u256) -> bool;
    fn transfer_from(ref self: T, sender: ContractAddress, recipient: ContractAddress, amount: u256) -> bool;
}

#[starknet::interface]
pub trait IRewardPool<T> {
    /// The pool with these settings, made when it is new: anyone may, its name holds all of them.
    fn create_pool(
        ref self: T, context: felt252, token: ContractAddress, window: u32, salt: felt252,
    ) -> felt252;
    /// Takes `amount` from the caller, who has approved it. Credits, and answers, what arrived.
    fn deposit(ref self: T, pool: felt252, amount: u128) -> u128;
    /// Proposes the root of an accepted statement. Anyone may call.
    fn propose(ref self: T, pool: felt252, statement: Statement, tree_hash: felt252, sum: u128);
    /// Drops the pending root: a third of the members who signed its statement, one more, inside the window.
    fn veto(ref self: T, pool: felt252, members: Span<felt252>, votes: Span<Vote>);
    /// Makes the pending root the active one once its window has passed and the pool holds enough. Anyone may call.
    fn activate(ref self: T, pool: felt252);
    /// Pays `payee` what the active tree says and was not paid yet, to `recipient`. Anyone may carry it here.
    fn claim(
        ref self: T,
        pool: felt252,
        payee: felt252,
        index: u64,
        cumulative: u128,
        path: Span<Subtree>,
        recipient: ContractAddress,
        deadline: u64,
        r: felt252,
        s: felt252,
    ) -> u128;
    /// Takes out what no root has promised: a quorum of the list that the context's head, `statement`, names next.
    fn sweep(
        ref self: T,
        pool: felt252,
        to: ContractAddress,
        amount: u128,
        statement: Statement,
        members: Span<felt252>,
        votes: Span<Vote>,
    );
    fn anchor(self: @T) -> ContractAddress;
    /// All zero for an unknown pool.
    fn pool(self: @T, pool: felt252) -> Pool;
    fn pending(self: @T, pool: felt252) -> Pending;
    /// What `payee` was paid from the pool so far.
    fn claimed(self: @T, pool: felt252, payee: felt252) -> u128;
}

#[starknet::contract]
pub mod RewardPool {
    use core::num::traits::Zero;
    use core::poseidon::poseidon_hash_span;
    use starknet::storage::{
        Map, StorageMapReadAccess, StorageMapWriteAccess, StoragePointerReadAccess, StoragePointerWriteAccess,
    };
    use starknet::{ContractAddress, get_block_timestamp, get_caller_address, get_contract_address, get_tx_info};
    use crate::anchor::{IAnchorDispatcher, IAnchorDispatcherTrait};
    use crate::claim::claim_hash;
    use crate::pay_tree;
    use crate::pay_tree::{Subtree, pool_hash, reward_root};
    use crate::statement::{Statement, digest};
    use crate::votes::{Vote, check, check_signature, listed_hash, quorum};
    use super::{IPayTokenDispatcher, IPayTokenDispatcherTrait, Pending, Pool};

    #[storage]
    struct Storage {
        anchor: ContractAddress,
        pools: Map<felt252, Pool>,
        pending: Map<felt252, Pending>,
        claimed: Map<(felt252, felt252), u128>,
        /// Per token, what all pools hold together.
        held: Map<ContractAddress, u256>,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    enum Event {
        PoolCreated: PoolCreated,
        Deposited: Deposited,
        RootProposed: RootProposed,
        RootVetoed: RootVetoed,
        RootActivated: RootActivated,
        Claimed: Claimed,
        Swept: Swept,
    }

    #[derive(Drop, starknet::Event)]
    struct PoolCreated {
        #[key]
        pool: felt252,
        #[key]
        context: felt252,
        token: ContractAddress,
        window: u32,
        salt: felt252,
    }

    #[derive(Drop, starknet::Event)]
    struct Deposited {
        #[key]
        pool: felt252,
        amount: u128,
        deposited: u128,
    }

    #[derive(Drop, starknet::Event)]
    struct RootProposed {
        #[key]
        pool: felt252,
        #[key]
        k: u64,
        tree_hash: felt252,
        sum: u128,
        ready_at: u64,
    }

    #[derive(Drop, starknet::Event)]
    struct RootVetoed {
        #[key]
        pool: felt252,
        #[key]
        k: u64,
    }

    #[derive(Drop, starknet::Event)]
    struct RootActivated {
        #[key]
        pool: felt252,
        #[key]
        k: u64,
        tree_hash: felt252,
        sum: u128,
    }

    #[derive(Drop, starknet::Event)]
    struct Claimed {
        #[key]
        pool: felt252,
        #[key]
        payee: felt252,
        cumulative: u128,
        paid: u128,
        recipient: ContractAddress,
    }

    #[derive(Drop, starknet::Event)]
    struct Swept {
        #[key]
        pool: felt252,
        amount: u128,
        to: ContractAddress,
    }

    #[constructor]
    fn constructor(ref self: ContractState, anchor: ContractAddress) {
        self.anchor.write(anchor);
    }

    #[generate_trait]
    impl Private of PrivateTrait {
        fn known(self: @ContractState, pool: felt252) -> Pool {
            let found = self.pools.read(pool);
            assert(found.token.is_non_zero(), 'UNKNOWN_POOL');
            found
        }

        fn waiting(self: @ContractState, pool: felt252) -> Pending {
            let found = self.pending.read(pool);
            assert(found.k != 0, 'NO_PENDING');
            found
        }

        fn drop_pending(ref self: ContractState, pool: felt252) {
            self.pending.write(pool, Pending { k: 0, members: 0, tree_hash: 0, sum: 0, ready_at: 0 });
        }

        fn digest_of(self: @ContractState, statement: @Statement) -> felt252 {
            digest(statement, chain_id(), self.anchor.read().into())
        }

        /// Cells first, the token last: a token that calls back finds everything written.
        fn pay(ref self: ContractState, token: ContractAddress, to: ContractAddress, amount: u128) {
            self.held.write(token, self.held.read(token) - amount.into());
            let sent = IPayTokenDispatcher { contract_address: token }.transfer(to, amount.into());
            assert(sent, 'TRANSFER_FAILED');
        }
    }

    fn chain_id() -> felt252 {
        get_tx_info().unbox().chain_id
    }

    fn own_address() -> felt252 {
        get_contract_address().into()
    }

    #[abi(embed_v0)]
    impl RewardPoolImpl of super::IRewardPool<ContractState> {
        fn create_pool(
            ref self: ContractState, context: felt252, token: ContractAddress, window: u32, salt: felt252,
        ) -> felt252 {
            assert(token.is_non_zero(), 'UNKNOWN_POOL');
            let pool = pool_hash(chain_id(), own_address(), context, token.into(), window, salt);
            if self.pools.read(pool).token.is_zero() {
                self
                    .pools
                    .write(
                        pool,
                        Pool {
                            context,
                            token,
                            window,
                            deposited: 0,
                            claimed_total: 0,
                            swept_total: 0,
                            last_k: 0,
                            active_tree: 0,
                            active_sum: 0,
                        },
                    );
                self.emit(PoolCreated { pool, context, token, window, salt });
            }
            pool
        }

        fn deposit(ref self: ContractState, pool: felt252, amount: u128) -> u128 {
            let token = self.known(pool).token;
            let dispatcher = IPayTokenDispatcher { contract_address: token };
            let own = get_contract_address();
            let before = dispatcher.balance_of(own);
            let sent = dispatcher.transfer_from(get_caller_address(), own, amount.into());
            let after = dispatcher.balance_of(own);
            assert(sent && after > before, 'TRANSFER_FAILED');
            // A token that calls back into another deposit raises `after` twice: what is held already is nobody's
            // again. Read after the call for that reason.
            let held = self.held.read(token);
            assert(after > held, 'TRANSFER_FAILED');
            let arrived = core::cmp::min(core::cmp::min(after - before, after - held), amount.into());
            let credited: u128 = arrived.low;
            self.held.write(token, held + credited.into());
            let mut found = self.pools.read(pool);
            found.deposited += credited;
            self.pools.write(pool, found);
            self.emit(Deposited { pool, amount: credited, deposited: found.deposited });
            credited
        }

        fn propose(
            ref self: ContractState, pool: felt252, statement: Statement, tree_hash: felt252, sum: u128,
        ) {
            let mut found = self.known(pool);
            let anchor = IAnchorDispatcher { contract_address: self.anchor.read() };
            let accepted = anchor.checkpoint(found.context, statement.k);
            assert(
                statement.context == found.context && self.digest_of(@statement) == accepted, 'NOT_ANCHORED',
            );
            assert(reward_root(pool, tree_hash, sum) == statement.reward_root, 'WRONG_REWARD_ROOT');
            assert(statement.k > found.last_k, 'NOT_NEWER');
            let waiting = self.pending.read(pool);
            // One that the pool cannot pay gives way after its window, or a slip of the members would end the pool.
            let gives_way = get_block_timestamp() >= waiting.ready_at && waiting.sum > found.deposited;
            assert(waiting.k == 0 || gives_way, 'PENDING');
            assert(sum >= found.active_sum, 'SUM_SHRANK'); // now, so that no pending root is beyond activation
            let ready_at = get_block_timestamp() + found.window.into();
            self
                .pending
                .write(pool, Pending { k: statement.k, members: statement.members, tree_hash, sum, ready_at });
            found.last_k = statement.k;
            self.pools.write(pool, found);
            self.emit(RootProposed { pool, k: statement.k, tree_hash, sum, ready_at });
        }

        fn veto(ref self: ContractState, pool: felt252, members: Span<felt252>, votes: Span<Vote>) {
            self.known(pool);
            let waiting = self.waiting(pool);
            assert(get_block_timestamp() < waiting.ready_at, 'WINDOW_CLOSED');
            assert(listed_hash(members) == waiting.members, 'WRONG_MEMBERS');
            assert(votes.len() >= members.len() / 3 + 1, 'BELOW_QUORUM');
            let signed = poseidon_hash_span(
                array![
                    'MEDSYNC_VETO_1', chain_id(), own_address(), pool, waiting.k.into(), waiting.tree_hash,
                    waiting.sum.into(),
                ]
                    .span(),
            );
            check(signed, members, votes);
            self.drop_pending(pool);
            self.emit(RootVetoed { pool, k: waiting.k });
        }

        fn activate(ref self: ContractState, pool: felt252) {
            let mut found = self.known(pool);
            let waiting = self.waiting(pool);
            assert(get_block_timestamp() >= waiting.ready_at, 'WINDOW_OPEN');
            assert(waiting.sum <= found.deposited, 'UNDERFUNDED');
            found.active_tree = waiting.tree_hash;
            found.active_sum = waiting.sum;
            self.pools.write(pool, found);
            self.drop_pending(pool);
            self.emit(RootActivated { pool, k: waiting.k, tree_hash: waiting.tree_hash, sum: waiting.sum });
        }

        fn claim(
            ref self: ContractState,
            pool: felt252,
            payee: felt252,
            index: u64,
            cumulative: u128,
            path: Span<Subtree>,
            recipient: ContractAddress,
            deadline: u64,
            r: felt252,
            s: felt252,
        ) -> u128 {
            let mut found = self.known(pool);
            assert(get_block_timestamp() <= deadline, 'EXPIRED');
            let signed = claim_hash(
                chain_id(), own_address(), payee, pool, recipient.into(), cumulative, deadline,
            );
            check_signature(signed, payee, r, s);
            let root = Subtree { hash: found.active_tree, sum: found.active_sum };
            pay_tree::check(root, payee, index, cumulative, path);
            let before = self.claimed.read((pool, payee));
            assert(cumulative > before, 'NOTHING_TO_CLAIM');
            let paid = cumulative - before;
            assert(paid <= found.active_sum - found.claimed_total, 'OVER_ACTIVE_SUM');
            found.claimed_total += paid;
            self.pools.write(pool, found);
            self.claimed.write((pool, payee), cumulative);
            self.pay(found.token, recipient, paid);
            self.emit(Claimed { pool, payee, cumulative, paid, recipient });
            paid
        }

        fn sweep(
            ref self: ContractState,
            pool: felt252,
            to: ContractAddress,
            amount: u128,
            statement: Statement,
            members: Span<felt252>,
            votes: Span<Vote>,
        ) {
            let mut found = self.known(pool);
            let anchor = IAnchorDispatcher { contract_address: self.anchor.read() };
            let (_, head) = anchor.head(found.context);
            assert(
                statement.context == found.context && self.digest_of(@statement) == head, 'NOT_ANCHORED',
            );
            assert(listed_hash(members) == statement.next_members, 'WRONG_MEMBERS');
            assert(votes.len() >= quorum(members.len()), 'BELOW_QUORUM');
            // `swept_total` grows by every sweep, so that none can be repeated.
            let signed = poseidon_hash_span(
                array![
                    'MEDSYNC_SWEEP_1', chain_id(), own_address(), pool, to.into(), amount.into(),
                    found.swept_total.into(),
                ]
                    .span(),
            );
            check(signed, members, votes);
            let free = self.pending.read(pool).k == 0;
            assert(free && amount > 0 && amount <= found.deposited - found.active_sum, 'NOT_SWEEPABLE');
            found.deposited -= amount;
            found.swept_total += amount;
            self.pools.write(pool, found);
            self.pay(found.token, to, amount);
            self.emit(Swept { pool, amount, to });
        }

        fn anchor(self: @ContractState) -> ContractAddress {
            self.anchor.read()
        }

        fn pool(self: @ContractState, pool: felt252) -> Pool {
            self.pools.read(pool)
        }

        fn pending(self: @ContractState, pool: felt252) -> Pending {
            self.pending.read(pool)
        }

        fn claimed(self: @ContractState, pool: felt252, payee: felt252) -> u128 {
            self.claimed.read((pool, payee))
        }
    }
}
