"""The cost tables of contracts/README.md are what the virtual machine counts. `python -m tests.contracts.test_costs` prints them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from medsync_protocol import calldata, reward_calldata
from medsync_protocol.consent_map import ConsentProof
from medsync_protocol.log import extend, log_root
from medsync_protocol.poseidon import Felt, pair, tagged_hash
from medsync_protocol.transition import AppendProof
from medsync_protocol.rewards import PayProof, Subtree, climb
from tests.contracts.anchored import Anchored, Committee, opened
from tests.contracts.pooled import PAYEES, Pooled, pooled
from tests.contracts.stage import Answer

_PEAKS: dict[int, list[Felt]] = {0: []}  # of the logs grown so far: they are the same every time
README = Path(__file__).parents[2] / "contracts" / "README.md"
BUILTINS = ("range_check", "bitwise", "ec_op", "poseidon", "pedersen")
COLUMNS = ("L2 gas", "steps", *BUILTINS)


def costs(answer: Answer) -> list[int]:
    return [answer.gas, answer.steps, *(answer.counts.get(name, 0) for name in BUILTINS)]


def post_grown(anchored: Anchored, size: int) -> Answer:
    """A checkpoint to `size` leaves, whatever they are: peaks and nodes suffice for a valid proof."""
    old = anchored.head.log_size
    peaks: list[Felt] = _PEAKS[old]
    nodes = [Felt(1_000 + number) for number in range(_nodes(old, size))]
    grown = extend(old, peaks, size, nodes)
    _PEAKS[size] = grown
    proposal = anchored.resigned(anchored.propose([1]), log_size=size, log_root=log_root(size, grown)).but(
        append=AppendProof(old_peaks=tuple(peaks), nodes=tuple(nodes))
    )
    answer = anchored.post(proposal)
    anchored.head = proposal.following
    return answer


def _nodes(old: int, new: int) -> int:
    """How many nodes a proof from `old` to `new` leaves has: aligned subtrees between them."""
    count, at = 0, old
    while at < new:
        width = (at & -at) if at else 1 << (new.bit_length() - 1)
        while at + width > new:
            width >>= 1
        count, at = count + 1, at + width
    return count


def voters_rows() -> Iterator[tuple[str, list[int]]]:
    for voters in (1, 3, 4, 7, 30, 100, 250):
        anchored = opened(committee=Committee(voters))
        post_grown(anchored, 64)
        yield f"n = {voters}", costs(post_grown(anchored, 128))


def append_rows() -> Iterator[tuple[str, list[int]]]:
    for old, new in ((0, 64), (64, 128), (12_345, 12_409), (1_000_000, 1_000_064), (2**31 - 1, 2**32 - 1)):
        anchored = opened(committee=Committee(1))
        if old:
            post_grown(anchored, old)
        yield f"{old:,} → {new:,} leaves", costs(post_grown(anchored, new))


def consent_rows() -> Iterator[tuple[str, list[int]]]:
    key, value = Felt(0x1234567), Felt(99)
    for depth in (0, 8, 16, 24, 32, 128):
        siblings = tuple(Felt(number + 1) for number in range(depth))
        node = tagged_hash("MEDSYNC_CONSENT_1", [key, value])
        for at in reversed(range(depth)):
            node = pair(siblings[at], node) if key >> at & 1 else pair(node, siblings[at])
        anchored = opened(committee=Committee(1))
        anchored.advance([1], consent_root=node)
        proof = ConsentProof(siblings=siblings, terminal=(key, value))
        yield (
            f"depth {depth}",
            costs(ask(anchored, "verify_consent", calldata.verify_consent(anchored.head, key, proof))),
        )


def entry_rows() -> Iterator[tuple[str, list[int]]]:
    for height in (0, 10, 20, 31):
        siblings = [Felt(number + 1) for number in range(height)]
        node = Felt(77)
        for sibling in siblings:
            node = pair(node, sibling)
        anchored = opened(committee=Committee(1))
        size = 1 << height
        proposal = anchored.resigned(anchored.propose([1]), log_size=size, log_root=log_root(size, [node]))
        proposal = replace(proposal, append=AppendProof(old_peaks=(), nodes=(node,)))
        anchored.post(proposal)
        arguments = calldata.verify_entry(proposal.following, 0, 77, [node], siblings)
        yield f"{size:,} leaves", costs(ask(anchored, "verify_entry", arguments))


def opening_rows() -> Iterator[tuple[str, list[int]]]:
    for voters in (1, 7, 30, 250):
        anchored = Anchored(committee=Committee(voters))
        yield f"n = {voters}", costs(anchored.open())


def recovery_rows() -> Iterator[tuple[str, list[int]]]:
    for voters in (7, 30):
        anchored = opened(committee=Committee(voters))
        anchored.advance([1])
        proposal = anchored.propose_recovery(Committee(voters, first=300))
        yield f"propose_recovery, n = {voters}", costs(anchored.recover(proposal))
        anchored.stage.time += anchored.recovery_delay
        yield f"execute_recovery, n = {voters}", costs(anchored.execute(proposal.following))


ROOT = Subtree(5, 1_000)


def pool_rows() -> Iterator[tuple[str, list[int]]]:
    made = Pooled()
    terms = made.model.terms
    made_by = reward_calldata.create_pool(
        context=terms.context, token=terms.token, window=terms.window, salt=terms.salt
    )
    yield "create_pool", costs(made.call("create_pool", made_by))
    yield "deposit", costs(made.deposit(1_000))
    yield "propose", costs(made.propose(made.anchor_root(ROOT), ROOT))
    made.pass_time()
    yield "activate", costs(made.activate())


def veto_rows() -> Iterator[tuple[str, list[int]]]:
    for voters in (4, 7, 30, 100):
        made = _pool_of(voters)
        made.propose(made.anchor_root(ROOT), ROOT)
        yield f"veto, n = {voters}", costs(made.veto())
        yield f"sweep, n = {voters}", costs(made.sweep(10))


def claim_rows() -> Iterator[tuple[str, list[int]]]:
    for depth in (0, 4, 8, 16, 32):
        made = _pool_of(1)
        path = tuple(Subtree(number + 1, 1) for number in range(depth))
        proof = PayProof(payee=PAYEES["A"], cumulative=10, index=0, path=path)
        root, _ = climb(proof.payee, proof.cumulative, 0, path)
        made.propose(made.anchor_root(root), root)
        made.pass_time()
        made.activate()
        yield f"depth {depth}", costs(made.claim(proof))


def _pool_of(voters: int) -> Pooled:
    return pooled(1_000, anchored=opened(committee=Committee(voters)))


def ask(anchored: Anchored, function: str, arguments: list[int]) -> Answer:
    answer: Answer = anchored.stage.call(0xA11C0, function, arguments)
    assert answer.data == [1]
    return answer


TABLES = {
    "post_checkpoint, 64 new leaves": voters_rows,
    "post_checkpoint, 1 voter": append_rows,
    "open_context": opening_rows,
    "recovery": recovery_rows,
    "verify_consent": consent_rows,
    "verify_entry": entry_rows,
    "reward_pool": pool_rows,
    "reward_pool by its voters": veto_rows,
    "claim": claim_rows,
}


def table(title: str) -> str:
    lines = [f"| {title} | " + " | ".join(COLUMNS) + " |", "|---" + "|--:" * len(COLUMNS) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{cost:,}" for cost in row) + " |" for name, row in TABLES[title]()
    ]
    return "\n".join(lines)


def test_the_readmes_tables_are_what_is_measured() -> None:
    text = README.read_text("utf-8")
    for title in TABLES:
        assert table(title) in text


if __name__ == "__main__":
    print("\n\n".join(table(title) for title in TABLES))
