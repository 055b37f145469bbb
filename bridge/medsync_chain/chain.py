"""The chain: takes transactions, runs them, seals blocks, and knows what was. JSON-RPC is `rpc/`'s, disk `store.py`'s.

Nothing here waits or looks at a clock by itself; calls must not overlap (the server sees to that).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from medsync_chain import costs
from medsync_chain.admission import check_admission
from medsync_chain.blocks import Block, Commitments, Header, Included, Receipt
from medsync_chain.blocks import SEQUENCER as SEQUENCER
from medsync_chain.classes import ContractClass, SierraClass
from medsync_chain.commitments import block_hash, commitments
from medsync_chain.compiling import Compilations
from medsync_chain.documents import block_document, parse_block
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.execution import BlockInfo, Context, TxInfo
from medsync_chain.fees import Prices
from medsync_chain.genesis import Genesis, mint
from medsync_chain.ledger import Ledger
from medsync_chain.pool import Pool
from medsync_chain.sequencer import Executed, execute, validate
from medsync_chain.state import State, StateDiff
from medsync_chain.store import Store
from medsync_chain.syscalls import BLOCK_HASHES
from medsync_chain.transactions import Declare, DeployAccount, Transaction

__all__ = ["Chain", "Sealing"]

Clock = Callable[[], int]  # seconds


class Sealing(Enum):
    """When a block is sealed: after each transaction, or when somebody says so."""

    EACH_TRANSACTION = "transaction"
    ON_DEMAND = "demand"


@dataclass(slots=True)
class Pending:
    """The block under way."""

    info: BlockInfo
    state: State
    executed: list[Executed] = field(default_factory=list)


class Chain:
    """One chain, over a store that may hold its past."""

    def __init__(self, store: Store, genesis: Genesis, clock: Clock, compilations: Compilations) -> None:
        """Loads what the store holds, or makes block 0."""
        self.chain_id = genesis.chain_id
        self.store = store
        self.genesis = genesis
        self.compilations = compilations
        self.prices = Prices()
        self.sealing = Sealing.EACH_TRANSACTION
        self.holding = False  # True keeps transactions in the pool
        self.time_offset = 0  # seconds that this chain's clock is ahead
        self.pool = Pool()
        self.ledger = Ledger()
        self.blocks: list[Block] = []
        self.block_numbers: dict[int, int] = {}  # by hash
        self.places: dict[int, tuple[int, int]] = {}  # transaction hash → block, index
        self._clock = clock
        self._next_timestamp: int | None = None
        self._classes: dict[int, ContractClass] = {}
        self._load()
        self.accepted_on_l1 = int(store.fact("accepted_on_l1") or -1)
        self.pending = self._new_pending()

    @property
    def latest(self) -> Block:
        """The newest sealed block."""
        return self.blocks[-1]

    def now(self) -> int:
        """This chain's time, in seconds."""
        return self._clock() + self.time_offset

    @property
    def account_class(self) -> int:
        """The class of the predeployed accounts."""
        return int(self.store.fact("account_class") or 0)

    def contract_class(self, class_hash: int) -> ContractClass:
        """A class that some block declared. Raises KeyError."""
        known = self._classes.get(class_hash)
        if known is None:
            sierra, casm = self.store.contract_class(class_hash)
            known = self._classes[class_hash] = ContractClass.of(SierraClass.parse(sierra), casm)
        return known

    def add(self, transaction: Transaction, sierra: SierraClass | None = None) -> None:
        """Takes a transaction. Raises Unacceptable; a revert is no refusal."""
        self._forget()
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
        if transaction.class_hash not in self._classes:
            compiled = self.compilations.compile(sierra, transaction.compiled_class_hash)
            self._classes[transaction.class_hash] = compiled
        elif self._classes[transaction.class_hash].compiled_class_hash != transaction.compiled_class_hash:
            raise Unacceptable(Code.COMPILED_CLASS_HASH_MISMATCH)

    def drain(self) -> None:
        """Runs what waits in the pool and can run now."""
        while not self.holding:
            transaction = self.pool.next(self.pending.state.nonce)
            if transaction is None:
                return
            self.pool.drop(transaction)
            try:
                self._run(transaction)
            except Unacceptable:
                continue  # what was acceptable when it came is not any more; clients see its hash disappear

    def seal(self) -> Block:
        """Makes a block of what is pending, even of nothing; durable when it returns."""
        pending = self.pending
        included = tuple(
            Included(transaction=one.transaction, receipt=Receipt.of(one)) for one in pending.executed
        )
        block = self._sealed(pending.info, included, pending.state.diff())
        self._commit(block)
        self.pending = self._new_pending()
        return block

    def abort(self, first: int) -> list[Block]:
        """Takes blocks back, from this one on, newest first. Raises Unacceptable for what is final or genesis."""
        if not 0 < first < len(self.blocks):
            raise Unacceptable(Code.BLOCK_NOT_FOUND)
        if first <= self.accepted_on_l1:
            raise Unacceptable(Code.UNEXPECTED_ERROR, f"block {first} is accepted on L1")
        self.store.truncate(first)
        aborted = []
        while len(self.blocks) > first:
            block = self.blocks.pop()
            self.ledger.take_back(block.number, block.diff)
            del self.block_numbers[block.header.hash]
            for one in block.included:
                del self.places[one.transaction.hash]
            aborted.append(block)
        self.pending = self._new_pending()
        return aborted

    def accept_on_l1(self, number: int) -> list[Block]:
        """Declares this block and all below it final, as if Ethereum had them; those newly so, newest first."""
        newly = self.blocks[max(self.accepted_on_l1, -1) + 1 : number + 1]
        if newly:
            self.accepted_on_l1 = number
            self.store.set_fact("accepted_on_l1", str(number))
        return newly[::-1]

    def set_time(self, timestamp: int) -> None:
        """Moves the clock; the next block has exactly this time unless it would lie before its parent."""
        self.time_offset = timestamp - self._clock()
        self._next_timestamp = timestamp
        if not self.pending.executed:
            self.pending = self._new_pending()

    def set_prices(self, prices: Prices) -> None:
        """Of gas, from the next block on."""
        self.prices = prices

    def mint(self, recipient: int, amount: int) -> None:
        """Pays from the bank, in the pending block. Raises Unacceptable when it is not that rich."""
        context = Context(
            state=self.pending.state,
            class_of=self.contract_class,
            block=self.pending.info,
            tx=TxInfo(chain_id=self.chain_id),
        )
        mint(context, recipient, amount)
        if self.sealing is Sealing.EACH_TRANSACTION:
            self.seal()

    def _run(self, transaction: Transaction) -> None:
        executed, state = execute(
            transaction,
            base=self.pending.state,
            class_of=self.contract_class,
            block=self.pending.info,
            prices=self.prices,
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
            transaction, base=state, class_of=self.contract_class, block=self.pending.info, prices=self.prices
        )

    def _forget(self) -> None:
        self.pool.forget(self.now(), self.pending.state.nonce)

    def _new_pending(self) -> Pending:
        parent = self.latest.header
        wanted = self.now() if self._next_timestamp is None else self._next_timestamp
        self._next_timestamp = None
        number = parent.number + 1
        state = State(self.ledger.at())
        buried = number - costs.BLOCK_HASH_DELAY
        if buried >= 0:
            state.set_storage(BLOCK_HASHES, buried, self.blocks[buried].header.hash)
        timestamp = max(wanted, parent.timestamp)
        info = BlockInfo(number=number, timestamp=timestamp, sequencer=SEQUENCER)
        return Pending(info=info, state=state)

    def _sealed(self, info: BlockInfo, included: Sequence[Included], diff: StateDiff) -> Block:
        parent = self.blocks[-1].header.hash if self.blocks else 0
        hashes = [one.transaction.hash for one in included]
        root = 0
        parts: Commitments = commitments(included, diff)
        header = Header(
            number=info.number,
            hash=block_hash(
                number=info.number, root=root, timestamp=info.timestamp, parent=parent, transactions=hashes
            ),
            parent_hash=parent,
            root=root,
            timestamp=info.timestamp,
            prices=self.prices,
            commitments=parts,
            transaction_count=len(included),
            event_count=sum(len(one.receipt.events) for one in included),
            state_diff_length=diff.length,
        )
        return Block(header=header, included=tuple(included), diff=diff)

    def _commit(self, block: Block) -> None:
        classes = {}
        for class_hash in block.diff.declared:
            known = self._classes[class_hash]
            classes[class_hash] = (known.sierra.document, known.casm_document)
        self.store.append(block.number, block_document(block), classes)
        self._adopt(block)

    def _adopt(self, block: Block) -> None:
        self.ledger.apply(block.number, block.diff)
        self.blocks.append(block)
        self.block_numbers[block.header.hash] = block.number
        for index, one in enumerate(block.included):
            self.places[one.transaction.hash] = (block.number, index)

    def _load(self) -> None:
        for document in self.store.blocks():
            self._adopt(parse_block(document, self.chain_id))
        if self.blocks:
            return
        classes = self.genesis.classes()
        self._classes = {known.class_hash: known for known in classes.values()}
        self.store.set_fact("account_class", str(classes["account"].class_hash))
        state = State(self.ledger.at())
        self.genesis.build(state, classes)
        info = BlockInfo(number=0, timestamp=self.genesis.timestamp, sequencer=SEQUENCER)
        self._commit(self._sealed(info, (), state.diff()))
