"""A Starknet node in memory: the sequencer's mempool rules, accounts with nonces, and an anchor as the protocol has it.

Signatures and hashes are checked with starknet-py; blocks are made when a test says so. It stands for the rules
that no real node lets a test provoke; the conformance tests run against chains that execute Cairo.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.client_models import ResourceBounds, ResourceBoundsMapping
from starknet_py.net.models.transaction import InvokeV3

from medsync_bridge.chain import STRK_TOKEN
from medsync_bridge.client import TrioClient
from medsync_protocol import stark
from medsync_protocol.anchor_abi import CLASS_HASH, ENTRY_POINTS
from medsync_protocol.errors import BadSignature
from medsync_protocol.poseidon import short_string
from medsync_protocol.refusal import AnchorRefusal, Reason, require
from medsync_protocol.statement import Statement, Vote, context_hash, members_hash, opening_statement
from medsync_protocol.transition import Anchor, AppendProof, check_checkpoint

CHAIN_ID = short_string("MEDSYNC_TEST")
ACCOUNT = 0xACC
SECRET = 0x5EC
CONTRACT = 0xA11C0
FEE = 10**15
GAS = {"l1_gas": (0, 10**3), "l1_data_gas": (192, 10**3), "l2_gas": (10**6, 10**9)}  # (used, price)


Rpc = Callable[[Any], Any]
"""A method's params → its result."""


class Refusal(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, data: Any = None) -> None:
        super().__init__(code)
        self.code, self.data = code, data


class Panic(Exception):
    """A revert."""


@dataclass(slots=True)
class Post:
    """A transaction that the node took."""

    hash: int
    account: int
    nonce: int
    calls: list[tuple[int, int, list[int]]]
    tip: int
    price: int
    raw: dict[str, Any]


@dataclass(slots=True)
class Result:
    """What became of one in a block."""

    post: Post
    revert: str | None


@dataclass(slots=True, kw_only=True)
class ModelChain:
    """`requests` are the methods that were asked; `before` runs ahead of each and may raise."""

    chain_id: int = CHAIN_ID
    floor: int = 0  # least price of L2 gas that the mempool takes
    balance: int = 10**21
    time: int = 1_800_000_000
    auto: bool = True  # make a block whenever somebody asks for a nonce
    nonces: dict[int, int] = field(default_factory=lambda: {ACCOUNT: 0})
    keys: dict[int, int] = field(default_factory=lambda: {ACCOUNT: stark.public_key(SECRET)})
    digests: dict[tuple[int, int], int] = field(default_factory=dict)
    heads: dict[int, int] = field(default_factory=dict)
    mempool: dict[tuple[int, int], Post] = field(default_factory=dict)
    blocks: list[list[Result]] = field(default_factory=lambda: [[]])
    opened: dict[int, int] = field(default_factory=dict)
    sent: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)  # error codes for the next sends
    lose_answers: bool = False  # take what is sent, then drop the connection
    before: Callable[[str], None] = lambda method: None
    lies: dict[str, Callable[[Rpc, Any], Any]] = field(default_factory=dict)  # in an honest method's place

    @property
    def anchor(self) -> Anchor:
        return Anchor(chain_id=self.chain_id, contract=CONTRACT)

    def client(self) -> TrioClient:
        """A client that talks to this model."""
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))
        return TrioClient("http://model", http)

    def results(self) -> list[Result]:
        return [result for block in self.blocks for result in block]

    def posts(self, k: int) -> list[Result]:
        """Transactions that called `post_checkpoint` for k and did not revert."""
        wanted = ENTRY_POINTS["post_checkpoint"]
        return [
            result
            for result in self.results()
            if result.revert is None
            for _, selector, felts in result.post.calls
            if selector == wanted and felts[12] == k
        ]

    def mine(self) -> None:
        """A block with everything that fits."""
        block: list[Result] = []
        while True:
            ready = [post for (account, nonce), post in self.mempool.items() if self.nonces[account] == nonce]
            if not ready:
                break
            post = ready[0]
            del self.mempool[post.account, post.nonce]
            self.nonces[post.account] += 1
            saved = dict(self.digests), dict(self.heads), dict(self.opened)
            try:
                for contract, selector, felts in post.calls:
                    self._execute(contract, selector, felts)
            except (Panic, AnchorRefusal) as error:
                self.digests, self.heads, self.opened = saved
                block.append(Result(post, error.reason if isinstance(error, AnchorRefusal) else str(error)))
            else:
                block.append(Result(post, None))
        if block:
            self.blocks.append(block)

    def forget(self) -> None:
        """Empty the mempool, as when entries expire."""
        self.mempool.clear()

    def reorg(self, state: dict[tuple[int, int], int], nonce: int) -> None:
        """The newest block vanishes."""
        self.blocks.pop()
        self.digests = dict(state)
        self.heads = {context: max(k for c, k in state if c == context) for context, _ in state}
        self.nonces[ACCOUNT] = nonce

    # JSON-RPC

    def _handle(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        method = asked["method"].removeprefix("starknet_")
        self.requests.append(method)
        self.before(method)
        try:
            honest: Rpc = getattr(self, f"rpc_{method}")
            lie = self.lies.get(method)
            params = asked["params"] or {}
            result = honest(params) if lie is None else lie(honest, params)
        except Refusal as refusal:
            error = {"code": refusal.code, "message": f"code {refusal.code}", "data": refusal.data}
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": 0, "error": error})
        if method.startswith("add") and self.lose_answers:
            raise httpx.ReadTimeout("the answer is lost")
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 0, "result": result})

    def rpc_chainId(self, _: Any) -> str:
        return hex(self.chain_id)

    def rpc_specVersion(self, _: Any) -> str:
        return "0.10.2"

    def rpc_getNonce(self, params: Any) -> str:
        if self.auto:
            self.mine()
        account = int(params["contract_address"], 16)
        if account not in self.nonces:
            raise Refusal(20)
        return hex(self.nonces[account])

    def rpc_getClassHashAt(self, params: Any) -> str:
        if int(params["contract_address"], 16) != CONTRACT:
            raise Refusal(20)
        return hex(CLASS_HASH)

    def rpc_call(self, params: Any) -> list[str]:
        asked = params["request"]
        contract, selector = int(asked["contract_address"], 16), int(asked["entry_point_selector"], 16)
        felts = [int(x, 16) for x in asked["calldata"]]
        if contract in self.keys and selector == get_selector_from_name("is_valid_signature"):
            message, _, r, s = felts
            try:
                stark.verify(message, self.keys[contract], r, s)
            except BadSignature:
                return ["0x0"]
            return [hex(short_string("VALID"))]
        if contract == STRK_TOKEN:
            return [hex(self.balance), "0x0"]
        if contract != CONTRACT:
            raise Refusal(20)
        if selector == ENTRY_POINTS["checkpoint"]:
            return [hex(self.digests.get((felts[0], felts[1]), 0))]
        if selector == ENTRY_POINTS["head"]:
            k = self.heads.get(felts[0], 0)
            return [hex(k), hex(self.digests.get((felts[0], k), 0))]
        raise Refusal(21)

    def rpc_estimateFee(self, params: Any) -> list[dict[str, str]]:
        post = self._parse(params["request"][0])
        saved = dict(self.digests), dict(self.heads), dict(self.opened)
        try:
            for call in post.calls:
                self._execute(*call)
        except (Panic, AnchorRefusal) as error:
            word = error.reason if isinstance(error, AnchorRefusal) else str(error)
            nested = {"contract_address": "0x1", "class_hash": "0x2", "selector": "0x3"}
            inner = {**nested, "error": json.dumps([hex(short_string(word))])}
            data = {"transaction_index": 0, "execution_error": {**nested, "error": inner}}
            raise Refusal(41, data) from error
        finally:
            self.digests, self.heads, self.opened = saved
        fields = {f"{gas}_consumed": hex(used) for gas, (used, _) in GAS.items()}
        prices = {f"{gas}_price": hex(max(price, self.floor)) for gas, (_, price) in GAS.items()}
        return [{**fields, **prices, "overall_fee": "0x1", "unit": "FRI"}]

    def rpc_addInvokeTransaction(self, params: Any) -> dict[str, str]:
        return self._add(params["invoke_transaction"])

    def rpc_getTransactionStatus(self, params: Any) -> dict[str, str]:
        wanted = int(params["transaction_hash"], 16)
        if any(post.hash == wanted for post in self.mempool.values()):
            return {"finality_status": "RECEIVED"}
        for result in self.results():
            if result.post.hash == wanted:
                if result.revert is None:
                    return {"finality_status": "ACCEPTED_ON_L2", "execution_status": "SUCCEEDED"}
                text = f"Execution failed. Failure reason: ({short_string(result.revert):#x} ('{result.revert}'))."
                return {
                    "finality_status": "ACCEPTED_ON_L2",
                    "execution_status": "REVERTED",
                    "failure_reason": text,
                }
        raise Refusal(29)

    def rpc_getTransactionReceipt(self, params: Any) -> dict[str, Any]:
        wanted = int(params["transaction_hash"], 16)
        if not any(result.post.hash == wanted for result in self.results()):
            raise Refusal(29)
        return {
            "transaction_hash": hex(wanted), "type": "INVOKE", "actual_fee": {"amount": hex(FEE), "unit": "FRI"},
            "finality_status": "ACCEPTED_ON_L2", "execution_status": "SUCCEEDED", "messages_sent": [], "events": [],
            "execution_resources": {gas: used for gas, (used, _) in GAS.items()},
            "block_hash": "0x1", "block_number": 1,
        }  # fmt: skip

    # the sequencer

    def _add(self, raw: dict[str, Any]) -> dict[str, str]:
        post = self._parse(raw)
        self.sent.append(post.hash)
        if self.answers:
            raise Refusal(self.answers.pop(0))
        if post.nonce < self.nonces[post.account]:
            raise Refusal(52, f"account nonce {self.nonces[post.account]}")
        waiting = self.mempool.get((post.account, post.nonce))
        if waiting is not None and waiting.hash == post.hash:
            raise Refusal(59)
        r, s = (int(x, 16) for x in raw["signature"])
        try:
            stark.verify(post.hash, self.keys[post.account], r, s)
        except BadSignature as error:
            raise Refusal(55, "Account: invalid signature") from error
        if post.price < self.floor:
            raise Refusal(65)
        if waiting is not None and (post.price * 10 < waiting.price * 11 or post.tip * 10 < waiting.tip * 11):
            raise Refusal(64)
        bounds = raw["resource_bounds"].values()
        if sum(int(b["max_amount"], 16) * int(b["max_price_per_unit"], 16) for b in bounds) > self.balance:
            raise Refusal(54)
        self.mempool[post.account, post.nonce] = post
        return {"transaction_hash": hex(post.hash)}

    def _parse(self, raw: dict[str, Any]) -> Post:
        """The hash is computed here, from what was sent."""
        bounds = {
            gas: ResourceBounds(int(b["max_amount"], 16), int(b["max_price_per_unit"], 16))
            for gas, b in raw["resource_bounds"].items()
        }
        transaction = InvokeV3(
            calldata=[int(felt, 16) for felt in raw["calldata"]], sender_address=int(raw["sender_address"], 16),
            version=int(raw["version"], 16), nonce=int(raw["nonce"], 16), tip=int(raw["tip"], 16),
            signature=[], resource_bounds=ResourceBoundsMapping(**bounds),
        )  # fmt: skip
        return Post(
            hash=transaction.calculate_hash(self.chain_id), account=transaction.sender_address,
            nonce=transaction.nonce, calls=_calls(transaction.calldata), tip=transaction.tip,
            price=bounds["l2_gas"].max_price_per_unit, raw=raw,
        )  # fmt: skip

    # the anchor

    def _execute(self, contract: int, selector: int, felts: list[int]) -> None:
        if contract != CONTRACT:
            raise Panic("NO_CONTRACT")
        take = _Reader(felts)
        if selector == ENTRY_POINTS["open_context"]:
            self._open(take)
        elif selector == ENTRY_POINTS["post_checkpoint"]:
            self._post(take)
        else:
            raise Panic("ENTRYPOINT_NOT_FOUND")

    def _open(self, take: _Reader) -> None:
        founder, low, high = take.one(), take.one(), take.one()
        context = context_hash(founder, (high << 128 | low).to_bytes(32))
        members = take.span()
        require((context, 0) not in self.digests, Reason.CONTEXT_EXISTS)
        members_hash(members)
        self.digests[context, 0] = self.anchor.digest(opening_statement(context, members))
        self.heads[context] = 0
        self.opened[context] = len(self.blocks)

    def _post(self, take: _Reader) -> None:
        head, following = take.statement(), take.statement()
        members = take.span()
        votes = [Vote.from_felts([take.one(), take.one(), take.one()]) for _ in range(take.one())]
        append = AppendProof(old_peaks=tuple(take.span()), nodes=tuple(take.span()))
        next_members = take.span()
        k = self.heads.get(following.context)
        require(k is not None, Reason.UNKNOWN_CONTEXT)
        assert k is not None
        if following.k <= k:
            stands = self.digests[following.context, following.k] == self.anchor.digest(following)
            require(stands, Reason.K_TAKEN)
            return
        require(following.k == k + 1, Reason.K_NOT_NEXT)
        require(self.digests[following.context, k] == following.prev, Reason.WRONG_PREV)
        digest = check_checkpoint(
            self.anchor, head=head, following=following, members=members, votes=votes, append=append,
            next_members=next_members, block_time=self.time,
        )  # fmt: skip
        self.digests[following.context, following.k] = digest
        self.heads[following.context] = following.k


class _Reader:
    """Felts, from the front."""

    def __init__(self, felts: list[int]) -> None:
        self._felts = iter(felts)

    def one(self) -> int:
        return next(self._felts)

    def span(self) -> list[int]:
        return [self.one() for _ in range(self.one())]

    def statement(self) -> Statement:
        return Statement.from_felts([self.one() for _ in range(11)])


def _calls(calldata: list[int]) -> list[tuple[int, int, list[int]]]:
    take = _Reader(calldata)
    return [(take.one(), take.one(), take.span()) for _ in range(take.one())]
