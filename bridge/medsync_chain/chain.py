"""The chain: takes transactions, runs them, seals blocks. What was sealed is `history.py`'s, JSON-RPC `rpc/`'s.

Nothing here waits or looks at a clock by itself; calls must not overlap (the server sees to that).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from medsync_chain import costs
from medsync_chain.admission import check_admission
from medsync_chain.blocks import SEQUENCER, Block, Header, Included, Receipt
from medsync_chain.classes import ContractClass, SierraClass
from medsync_chain.commitments import seal
from medsync_chain.compiling import Compilations
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.execution import BlockInfo, Context, TxInfo
from medsync_chain.fees import Prices
from medsync_chain.genesis import Genesis, mint
from medsync_chain.history import History
from medsync_chain.pool import Pool
from medsync_chain.sequencer import Executed, execute, validate
from medsync_chain.state import State
from medsync_chain.store import Store
from medsync_chain.syscalls import BLOCK_HASHES
from medsync_chain.transactions import Declare, DeployAccount, Transaction

__all__ = ["Chain", "Pending", "Sealing"]

MAX_NEW_CLASSES = 16  # compiled and not sealed yet; estimates of declarations make them too

Clock = Callable[[], int]  # seconds

log = logging.getLogger(__name__)


class Sealing(Enum):
    """When a block is sealed: after each transaction, or when somebody says so."""

    EACH_TRANSACTION = "transaction"
    ON_DEMAND = "demand"


@dataclass(slots=True)
class Pending:
    """The block under way."""

    info: BlockInfo
    prices: Prices
    state: State
    executed: list[Executed] = field(default_factory=list)
    minted: bool = False

    @property
    def is_empty(self) -> bool:
        """True while nothing happened in it."""
        return not self.executed and not self.minted

    def included(self) -> list[Included]:
        """Its transactions as they would stand in a block."""
        return [Included(transaction=one.transaction, receipt=Receipt.of(one)) for one in self.executed]


class Chain:
    """One chain, over a store that may hold its past."""

    def __init__(self, store: Store, genesis: Genesis, clock: Clock, compilations: Compilations) -> None:
        """Goes on from what the store holds, or makes block 0."""
        self.chain_id = genesis.chain_id
        self.genesis = genesis
        self.prices = Prices()
        self.sealing = Sealing.EACH_TRANSACTION
        self.holding = False  # True keeps transactions in the pool
        self.time_offset = 0  # seconds that this chain's clock is ahead
        self.pool = Pool()
        self.history = History(store, genesis.chain_id)
        self._clock = clock
        self._compilations = compilations
        self._next_timestamp: int | None = None
        self._new_classes: dict[int, ContractClass] = {}  # compiled, not in a sealed block yet
        if not len(self.history):
            self._begin(store)
        self.account_class = int(store.fact("account_class") or 0)
        self.pending = self._new_pending()

    def now(self) -> int:
        """This chain's time, in seconds."""
        return self._clock() + self.time_offset

    def contract_class(self, class_hash: int) -> ContractClass:
        """A class that was declared. Raises KeyError."""
        return self._new_classes.get(class_hash) or self.history.contract_class(class_hash)

    def add(self, transaction: Transaction, sierra: SierraClass | None = None) -> None:
        """Takes a transaction. Raises Unacceptable; a revert is no refusal."""
        self.catch_up()
        self.pool.forget(self.now(), self.pending.state.nonce)
        if any(one.transaction.hash == transaction.hash for one in self.pending.executed):
            raise Unacceptable(Code.DUPLICATE_TX)
        self.pool.check(transaction)
        check_admission(transaction, self.pending.state, self.prices)
        if isinstance(transaction, Declare) and sierra is not None:
            self.learn(transaction, sierra)
        if self.holding or transaction.nonce != self.pending.state.nonce(transaction.sender):
            self._validate(transaction)
            self.pool.put(transaction, self.now())
            return
        self._run(transaction)
        self.pool.drop(transaction)
        self.drain()

    def learn(self, transaction: Declare, sierra: SierraClass) -> None:
        """Compiles the class that a transaction declares. Raises Unacceptable."""
        if self.pending.state.compiled_class_hash(transaction.class_hash):
            raise Unacceptable(
                Code.CLASS_ALREADY_DECLARED,
                f"Class with hash {transaction.class_hash:#066x} is already declared.",
            )
        known = self._new_classes.get(transaction.class_hash)
        if known is None or known.compiled_class_hash != transaction.compiled_class_hash:
            known = self._compilations.compile(sierra, transaction.compiled_class_hash)
        if len(self._new_classes) >= MAX_NEW_CLASSES:
            del self._new_classes[next(iter(self._new_classes))]
        self._new_classes[transaction.class_hash] = known

    def drain(self) -> None:
        """Runs what waits in the pool and can run now."""
        while not self.holding:
            transaction = self.pool.next(self.pending.state.nonce)
            if transaction is None:
                return
            self.pool.drop(transaction)
            try:
                self._run(transaction)
            except Unacceptable as refusal:
                # what was acceptable when it came is not any more; clients see that its hash is unknown
                log.info("transaction %#x is dropped: %s", transaction.hash, refusal)

    def seal(self) -> Header:
        """Makes a block of what is pending, even of nothing; durable when it returns."""
        self.catch_up()
        header = self._seal(
            self.pending.info, self.pending.included(), self.pending.state, self.pending.prices
        )
        self.pending = self._new_pending()
        return header

    def catch_up(self) -> None:
        """A block begins when something happens in it: an empty one under way moves on to the present."""
        if self.pending.is_empty and self.pending.info.timestamp < self.now():
            self.pending = self._new_pending()

    def abort(self, first: int) -> list[Header]:
        """Takes blocks back, from this one on, newest first. Raises Unacceptable for what is final or genesis."""
        if not 0 < first < len(self.history):
            raise Unacceptable(Code.BLOCK_NOT_FOUND)
        if first <= self.history.accepted_on_l1:
            raise Unacceptable(Code.UNEXPECTED_ERROR, f"block {first} is accepted on L1")
        aborted = self.history.truncate(first)
        self.pending = self._new_pending()
        return aborted

    def set_time(self, timestamp: int) -> None:
        """Moves the clock; the next block has exactly this time unless it would lie before its parent."""
        self.time_offset = timestamp - self._clock()
        self._next_timestamp = timestamp
        if self.pending.is_empty:
            self.pending = self._new_pending()

    def set_prices(self, prices: Prices) -> None:
        """Of gas, from the next block on."""
        self.prices = prices
        if self.pending.is_empty:
            self.pending = self._new_pending()

    def mint(self, recipient: int, amount: int) -> None:
        """Pays from the bank, in the pending block."""
        self.catch_up()
        context = Context(
            state=self.pending.state,
            class_of=self.contract_class,
            block=self.pending.info,
            tx=TxInfo(chain_id=self.chain_id),
        )
        mint(context, recipient, amount)
        self.pending.minted = True
        if self.sealing is Sealing.EACH_TRANSACTION:
            self.seal()

    def replay(self, number: int) -> list[Executed]:
        """Runs a sealed block's transactions again, on the state they had."""
        block = self.history.block(number)
        header = block.header
        state = State(self.history.ledger.at(number - 1))
        self._bury(state, number)
        info = BlockInfo(number=number, timestamp=header.timestamp, sequencer=header.sequencer)
        replayed = []
        for one in block.included:
            executed, after = execute(
                one.transaction, base=state, class_of=self.contract_class, block=info, prices=header.prices
            )
            after.merge()
            replayed.append(executed)
        return replayed

    def _run(self, transaction: Transaction) -> None:
        executed, state = execute(
            transaction,
            base=self.pending.state,
            class_of=self.contract_class,
            block=self.pending.info,
            prices=self.pending.prices,
        )
        state.merge()
        self.pending.executed.append(executed)
        if self.sealing is Sealing.EACH_TRANSACTION:
            self.seal()

    def _validate(self, transaction: Transaction) -> None:
        state = self.pending.state
        first_after_deployment = transaction.nonce == 1 and not state.class_at(transaction.sender)
        if first_after_deployment and isinstance(self.pool.at(transaction.sender, 0), DeployAccount):
            return  # it can only be checked once the account is there
        validate(
            transaction,
            base=state,
            class_of=self.contract_class,
            block=self.pending.info,
            prices=self.pending.prices,
        )

    def _new_pending(self) -> Pending:
        parent = self.history.latest
        wanted = self.now() if self._next_timestamp is None else self._next_timestamp
        self._next_timestamp = None
        number = parent.number + 1
        state = State(self.history.ledger.at())
        self._bury(state, number)
        timestamp = max(wanted, parent.timestamp)
        info = BlockInfo(number=number, timestamp=timestamp, sequencer=SEQUENCER)
        return Pending(info=info, prices=self.prices, state=state)

    def _bury(self, state: State, number: int) -> None:
        """Every block writes down the hash of the one ten before it, for contracts to read."""
        buried = number - costs.BLOCK_HASH_DELAY
        if buried >= 0:
            state.set_storage(BLOCK_HASHES, buried, self.history.headers[buried].hash)

    def _seal(self, info: BlockInfo, included: Sequence[Included], state: State, prices: Prices) -> Header:
        diff = state.diff()
        tries = self.history.tries.updated(diff, state)
        parent = self.history.latest.hash if len(self.history) else 0
        header = seal(info, included, diff, root=tries.root, prices=prices, parent=parent)
        declared = {class_hash: self._new_classes.pop(class_hash) for class_hash in diff.declared}
        self.history.append(Block(header=header, included=tuple(included), diff=diff), tries, declared)
        return header

    def _begin(self, store: Store) -> None:
        classes = self.genesis.classes()
        store.set_fact("account_class", str(classes["account"].class_hash))
        self._new_classes = {known.class_hash: known for known in classes.values()}
        state = State(self.history.ledger.at())
        self.genesis.build(state, classes)
        info = BlockInfo(number=0, timestamp=self.genesis.timestamp, sequencer=SEQUENCER)
        self._seal(info, (), state, self.prices)
