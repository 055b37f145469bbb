//! The anchor: keeps, per context, the digests of a chain of checkpoints that a quorum of its members signed.
//!
//! It proves who agreed, that the log only grew, and what is included. It is no validity proof: that each
//! statement follows from the records under it is the signers' word, unless a context names an
//! `ITransitionVerifier`. One new storage cell per checkpoint; everything else is witness or event.
//! The Python twin of the rules is `medsync_protocol/transition.py`.
use starknet::ContractAddress;
use crate::statement::Statement;
use crate::votes::Vote;

/// Peaks of the old log, highest first, and the nodes that lead to the new one.
#[derive(Drop, Copy, Serde)]
pub struct AppendProof {
    pub old_peaks: Span<felt252>,
    pub nodes: Span<felt252>,
}

/// Where a proof of the transition itself may enter: fixed when the context opens, asked at every checkpoint.
#[starknet::interface]
pub trait ITransitionVerifier<T> {
    /// 'VALID' when `next`, with this digest, may follow `head`. A recovery is not asked about.
    fn verify_transition(
        self: @T, head: Statement, next: Statement, digest: felt252, evidence: Span<felt252>,
    ) -> felt252;
}

#[starknet::interface]
pub trait IAnchor<T> {
    /// Opens the context named by the founder's key and the genesis digest, signed by that key. Returns its name.
    fn open_context(
        ref self: T,
        founder: felt252,
        genesis: u256,
        members: Span<felt252>,
        verifier: ContractAddress,
        recovery_delay: u64,
        r: felt252,
        s: felt252,
    ) -> felt252;
    /// Accepts `next` after `head`. `members` is the list that signs, `next_members` the new one or empty.
    /// False when this very statement stands at its k already.
    fn post_checkpoint(
        ref self: T,
        head: Statement,
        next: Statement,
        members: Span<felt252>,
        votes: Span<Vote>,
        append: AppendProof,
        next_members: Span<felt252>,
        evidence: Span<felt252>,
    ) -> bool;
    /// Notes a statement that changes the member list alone, signed by a majority. A checkpoint voids it.
    fn propose_recovery(
        ref self: T,
        head: Statement,
        next: Statement,
        members: Span<felt252>,
        votes: Span<Vote>,
        next_members: Span<felt252>,
    );
    /// Accepts the noted statement once the context's delay has passed. Anyone may call.
    fn execute_recovery(ref self: T, next: Statement);
    /// (k, digest) of the last accepted statement; (0, 0) for an unknown context.
    fn head(self: @T, context: felt252) -> (u64, felt252);
    /// The digest accepted at k; 0 when there is none.
    fn checkpoint(self: @T, context: felt252, k: u64) -> felt252;
    /// (digest, ready_at) of the pending recovery; (0, 0) when there is none.
    fn recovery(self: @T, context: felt252) -> (felt252, u64);
    /// (verifier, recovery_delay) of the context.
    fn settings(self: @T, context: felt252) -> (ContractAddress, u64);
    /// The statement's digest here.
    fn statement_hash(self: @T, statement: Statement) -> felt252;
    /// True when the head statement's consent map holds `value` at `key`, false when `key` is proven absent.
    fn verify_consent(
        self: @T, statement: Statement, key: felt252, value: felt252, term_key: felt252, siblings: Span<felt252>,
    ) -> bool;
    /// The same for any accepted statement.
    fn verify_consent_at(
        self: @T, statement: Statement, key: felt252, value: felt252, term_key: felt252, siblings: Span<felt252>,
    ) -> bool;
    /// True when the head statement's log holds `leaf` at `index`; otherwise reverts.
    fn verify_entry(
        self: @T, statement: Statement, index: u64, leaf: felt252, peaks: Span<felt252>, siblings: Span<felt252>,
    ) -> bool;
    /// The same for any accepted statement.
    fn verify_entry_at(
        self: @T, statement: Statement, index: u64, leaf: felt252, peaks: Span<felt252>, siblings: Span<felt252>,
    ) -> bool;
}

#[starknet::contract]
pub mod Anchor {
    use core::num::traits::Zero;
    use starknet::storage::{
        Map, StorageMapReadAccess, StorageMapWriteAccess, StoragePathEntry, StoragePointerReadAccess,
    };
    use starknet::{ContractAddress, get_block_timestamp, get_contract_address, get_tx_info};
    use crate::statement::{Statement, context_hash, digest, opening_digest, opening_statement};
    use crate::votes::{Vote, check, check_signature, listed_hash, majority, members_hash, quorum};
    use crate::{consent, log};
    use super::{AppendProof, ITransitionVerifierDispatcher, ITransitionVerifierDispatcherTrait};

    /// Long enough for a member on leave to see a recovery coming and post a checkpoint, which voids it.
    const MIN_RECOVERY_DELAY: u64 = 1209600; // 14 days
    const MAX_RECOVERY_DELAY: u64 = 31536000; // 365 days
    /// Votes an event takes: 3 felts each, 300 felts at most.
    const VOTES_PER_EVENT: u32 = 96;

    /// A proposed statement; void once the context's head has reached its k.
    #[derive(Drop, Copy, starknet::Store)]
    struct Recovery {
        digest: felt252,
        k: u64,
        ready_at: u64,
    }

    #[storage]
    struct Storage {
        head_k: Map<felt252, u64>,
        digests: Map<(felt252, u64), felt252>,
        verifier: Map<felt252, ContractAddress>,
        recovery_delay: Map<felt252, u64>,
        recovery: Map<felt252, Recovery>,
    }

    #[event]
    #[derive(Drop, starknet::Event)]
    enum Event {
        ContextOpened: ContextOpened,
        CheckpointPosted: CheckpointPosted,
        Votes: Votes,
        MembersChanged: MembersChanged,
        RecoveryProposed: RecoveryProposed,
        RecoveryExecuted: RecoveryExecuted,
    }

    #[derive(Drop, starknet::Event)]
    struct ContextOpened {
        #[key]
        context: felt252,
        founder: felt252,
        genesis: u256,
        verifier: ContractAddress,
        recovery_delay: u64,
    }

    #[derive(Drop, starknet::Event)]
    struct CheckpointPosted {
        #[key]
        context: felt252,
        #[key]
        k: u64,
        digest: felt252,
        statement: Statement,
    }

    /// Follows CheckpointPosted or RecoveryProposed; more than 96 votes come in several.
    #[derive(Drop, starknet::Event)]
    struct Votes {
        #[key]
        context: felt252,
        #[key]
        k: u64,
        votes: Span<Vote>,
    }

    /// The list that signs from `from_k` on. Of a proposed recovery: if it is executed.
    #[derive(Drop, starknet::Event)]
    struct MembersChanged {
        #[key]
        context: felt252,
        #[key]
        from_k: u64,
        hash: felt252,
        keys: Span<felt252>,
    }

    #[derive(Drop, starknet::Event)]
    struct RecoveryProposed {
        #[key]
        context: felt252,
        #[key]
        k: u64,
        digest: felt252,
        statement: Statement,
        ready_at: u64,
    }

    #[derive(Drop, starknet::Event)]
    struct RecoveryExecuted {
        #[key]
        context: felt252,
        #[key]
        k: u64,
        digest: felt252,
        statement: Statement,
    }

    #[generate_trait]
    impl Private of PrivateTrait {
        fn digest_of(self: @ContractState, statement: @Statement) -> felt252 {
            digest(statement, get_tx_info().unbox().chain_id, get_contract_address().into())
        }

        /// (k, digest) of an open context.
        fn open_head(self: @ContractState, context: felt252) -> (u64, felt252) {
            let k = self.head_k.read(context);
            let stored = self.digests.read((context, k));
            assert(stored != 0, 'UNKNOWN_CONTEXT');
            (k, stored)
        }

        /// What every statement must meet to follow `head`, whose digest is stored at k. Returns its digest.
        fn check_step(
            self: @ContractState, k: u64, stored: felt252, head: @Statement, next: @Statement, members: Span<felt252>,
        ) -> felt252 {
            assert(*next.k == k + 1, 'K_NOT_NEXT');
            assert(*next.prev == stored && self.digest_of(head) == stored, 'WRONG_PREV');
            assert(*next.members == *head.next_members && listed_hash(members) == *next.members, 'WRONG_MEMBERS');
            assert(*next.not_before <= get_block_timestamp(), 'TOO_EARLY');
            self.digest_of(next)
        }

        fn accept(ref self: ContractState, next: @Statement, digest: felt252) {
            self.digests.write((*next.context, *next.k), digest);
            self.head_k.write(*next.context, *next.k);
        }

        fn emit_votes(ref self: ContractState, context: felt252, k: u64, votes: Span<Vote>) {
            let mut start = 0;
            while start < votes.len() {
                let count = core::cmp::min(VOTES_PER_EVENT, votes.len() - start);
                self.emit(Votes { context, k, votes: votes.slice(start, count) });
                start += count;
            }
        }

        fn emit_members(ref self: ContractState, next: @Statement, keys: Span<felt252>) {
            assert(members_hash(keys) == *next.next_members, 'WRONG_NEXT_MEMBERS');
            self
                .emit(
                    MembersChanged {
                        context: *next.context, from_k: *next.k + 1, hash: *next.next_members, keys,
                    },
                );
        }

        fn require_head(self: @ContractState, statement: @Statement) {
            let (_, stored) = self.open_head(*statement.context);
            assert(self.digest_of(statement) == stored, 'UNKNOWN_STATEMENT');
        }

        fn require_accepted(self: @ContractState, statement: @Statement) {
            let stored = self.digests.read((*statement.context, *statement.k));
            assert(self.digest_of(statement) == stored, 'UNKNOWN_STATEMENT');
        }
    }

    #[abi(embed_v0)]
    impl AnchorImpl of super::IAnchor<ContractState> {
        fn open_context(
            ref self: ContractState,
            founder: felt252,
            genesis: u256,
            members: Span<felt252>,
            verifier: ContractAddress,
            recovery_delay: u64,
            r: felt252,
            s: felt252,
        ) -> felt252 {
            let context = context_hash(founder, genesis);
            assert(self.digests.read((context, 0)) == 0, 'CONTEXT_EXISTS');
            assert(
                recovery_delay >= MIN_RECOVERY_DELAY && recovery_delay <= MAX_RECOVERY_DELAY, 'RECOVERY_DELAY',
            );
            let listed = members_hash(members);
            let chain_id = get_tx_info().unbox().chain_id;
            let signed = opening_digest(
                chain_id, get_contract_address().into(), context, listed, verifier.into(), recovery_delay,
            );
            check_signature(signed, founder, r, s);
            let opening = opening_statement(context, listed);
            self.digests.write((context, 0), self.digest_of(@opening));
            self.verifier.write(context, verifier);
            self.recovery_delay.write(context, recovery_delay);
            self.emit(ContextOpened { context, founder, genesis, verifier, recovery_delay });
            self.emit(MembersChanged { context, from_k: 1, hash: listed, keys: members });
            context
        }

        fn post_checkpoint(
            ref self: ContractState,
            head: Statement,
            next: Statement,
            members: Span<felt252>,
            votes: Span<Vote>,
            append: AppendProof,
            next_members: Span<felt252>,
            evidence: Span<felt252>,
        ) -> bool {
            let context = next.context;
            let (k, stored) = self.open_head(context);
            if next.k <= k {
                assert(self.digests.read((context, next.k)) == self.digest_of(@next), 'K_TAKEN');
                return false;
            }
            let digest = self.check_step(k, stored, @head, @next, members);
            assert(votes.len() >= quorum(members.len()), 'BELOW_QUORUM');
            check(digest, members, votes);
            assert(log::root(head.log_size, append.old_peaks) == head.log_root, 'BAD_PEAKS');
            let peaks = log::extend(head.log_size, append.old_peaks, next.log_size, append.nodes);
            assert(log::root(next.log_size, peaks.span()) == next.log_root, 'BAD_APPEND_PROOF');
            self.accept(@next, digest);
            self.emit(CheckpointPosted { context, k: next.k, digest, statement: next });
            self.emit_votes(context, next.k, votes);
            if next.next_members == next.members {
                assert(next_members.is_empty(), 'WRONG_NEXT_MEMBERS');
            } else {
                self.emit_members(@next, next_members);
            }
            let verifier = self.verifier.read(context);
            if verifier.is_non_zero() {
                let answer = ITransitionVerifierDispatcher { contract_address: verifier }
                    .verify_transition(head, next, digest, evidence);
                assert(answer == 'VALID', 'TRANSITION_REFUSED');
            }
            true
        }

        fn propose_recovery(
            ref self: ContractState,
            head: Statement,
            next: Statement,
            members: Span<felt252>,
            votes: Span<Vote>,
            next_members: Span<felt252>,
        ) {
            let context = next.context;
            let (k, stored) = self.open_head(context);
            let digest = self.check_step(k, stored, @head, @next, members);
            assert(
                next.consent_root == head.consent_root
                    && next.log_root == head.log_root
                    && next.log_size == head.log_size
                    && next.reward_root == head.reward_root
                    && next.detail == head.detail,
                'RECOVERY_CHANGES_ROOTS',
            );
            assert(votes.len() >= majority(members.len()), 'NOT_MAJORITY');
            check(digest, members, votes);
            assert(next.next_members != next.members, 'WRONG_NEXT_MEMBERS');
            assert(self.recovery.entry(context).k.read() != next.k, 'RECOVERY_PENDING');
            let ready_at = get_block_timestamp() + self.recovery_delay.read(context);
            self.recovery.write(context, Recovery { digest, k: next.k, ready_at });
            self.emit(RecoveryProposed { context, k: next.k, digest, statement: next, ready_at });
            self.emit_votes(context, next.k, votes);
            self.emit_members(@next, next_members);
        }

        fn execute_recovery(ref self: ContractState, next: Statement) {
            let (k, _) = self.open_head(next.context);
            assert(next.k == k + 1, 'K_NOT_NEXT');
            let recovery = self.recovery.read(next.context);
            let digest = self.digest_of(@next);
            assert(recovery.k == next.k && recovery.digest == digest, 'UNKNOWN_STATEMENT');
            assert(get_block_timestamp() >= recovery.ready_at, 'RECOVERY_NOT_READY');
            self.accept(@next, digest);
            self.emit(RecoveryExecuted { context: next.context, k: next.k, digest, statement: next });
        }

        fn head(self: @ContractState, context: felt252) -> (u64, felt252) {
            let k = self.head_k.read(context);
            (k, self.digests.read((context, k)))
        }

        fn checkpoint(self: @ContractState, context: felt252, k: u64) -> felt252 {
            self.digests.read((context, k))
        }

        fn recovery(self: @ContractState, context: felt252) -> (felt252, u64) {
            let recovery = self.recovery.read(context);
            if recovery.k == self.head_k.read(context) + 1 {
                (recovery.digest, recovery.ready_at)
            } else {
                (0, 0)
            }
        }

        fn settings(self: @ContractState, context: felt252) -> (ContractAddress, u64) {
            (self.verifier.read(context), self.recovery_delay.read(context))
        }

        fn statement_hash(self: @ContractState, statement: Statement) -> felt252 {
            self.digest_of(@statement)
        }

        fn verify_consent(
            self: @ContractState,
            statement: Statement,
            key: felt252,
            value: felt252,
            term_key: felt252,
            siblings: Span<felt252>,
        ) -> bool {
            self.require_head(@statement);
            consent::lookup(statement.consent_root, key, value, term_key, siblings)
        }

        fn verify_consent_at(
            self: @ContractState,
            statement: Statement,
            key: felt252,
            value: felt252,
            term_key: felt252,
            siblings: Span<felt252>,
        ) -> bool {
            self.require_accepted(@statement);
            consent::lookup(statement.consent_root, key, value, term_key, siblings)
        }

        fn verify_entry(
            self: @ContractState,
            statement: Statement,
            index: u64,
            leaf: felt252,
            peaks: Span<felt252>,
            siblings: Span<felt252>,
        ) -> bool {
            self.require_head(@statement);
            log::verify_entry(statement.log_root, statement.log_size, index, leaf, peaks, siblings);
            true
        }

        fn verify_entry_at(
            self: @ContractState,
            statement: Statement,
            index: u64,
            leaf: felt252,
            peaks: Span<felt252>,
            siblings: Span<felt252>,
        ) -> bool {
            self.require_accepted(@statement);
            log::verify_entry(statement.log_root, statement.log_size, index, leaf, peaks, siblings);
            true
        }
    }
}
