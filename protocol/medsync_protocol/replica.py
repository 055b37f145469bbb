"""One node's copy of one context: takes operations, judges them, opens what it may, writes its own (PROTOCOL §2).

Bytes and time in, effects out. Who is connected, and what to send to whom, is sessions.py; checkpoints are
checkpoints.py. Invalid input raises; everything else is held and gets a verdict, or is parked with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from medsync_protocol.actions import (
    Action,
    Admit,
    DeviceAdd,
    Genesis,
    Unreadable,
    VoterKey,
    decode_action,
    encode_action,
)
from medsync_protocol.application import Application, Draft, OpenedEntry
from medsync_protocol.chains import Chains, Slot, Vector
from medsync_protocol.crypto import Entropy, blake2b
from medsync_protocol.effects import Effect, Notify, Persist, Reread
from medsync_protocol.errors import BadSignature, BrokenChain, Malformed, NotPermitted, Refused
from medsync_protocol.identity import Identity, check_certificate
from medsync_protocol.ids import (
    ChainId,
    ContextId,
    KeyId,
    MemberId,
    NetworkId,
    OpId,
    SubjectRef,
    device_of,
    short,
)
from medsync_protocol.journal import IndexRow, OpRecord, ValueRecord
from medsync_protocol.kinds import Audience, OpKind, Plane, Role, Verdict
from medsync_protocol.membership import MembershipFold, MembershipState
from medsync_protocol.operation import (
    MAX_HEADS, Body, Header, Operation, build, check_signature, decode, decode_body, decode_header,
    decode_label, filled, join, op_id_of, open_payload, prune, sealing_context, split,
)  # fmt: skip
from medsync_protocol.policy import policy_named
from medsync_protocol.sealing import KeyRing, split_tags
from medsync_protocol.voters import check_voter_key

MAX_PARKED: Final = 10_000  # operations waiting in memory for ancestry; more are dropped and asked for again
MAX_AHEAD_MS: Final = 2 * 60_000  # an operation further in the future than this is parked until due
NOBODY: Final = MemberId(bytes(32))

ApplicationFactory = Callable[[NetworkId, ContextId], Application]


class Parked(Enum):
    """Why an operation waits."""

    GAP = "an earlier operation of its chain is missing"
    ANCESTRY = "a membership operation that it cites is missing"
    FUTURE = "its time has not come"


@dataclass(frozen=True, slots=True)
class Submitted:
    """Where an own batch stands."""

    op_id: OpId
    chain: ChainId
    seq: int
    count: int


@dataclass(frozen=True, slots=True)
class News:
    """An operation that this replica took, for those who send it on."""

    operation: Operation
    own: bool


class Replica:
    """See the module. `application` folds data entries; `chain` is the one this process writes to."""

    def __init__(
        self, genesis: bytes, *, network: NetworkId, context: ContextId, identity: Identity, incarnation: bytes,
        applications: Mapping[str, ApplicationFactory], entropy: Entropy,
    ) -> None:  # fmt: skip
        self.network, self.context, self.identity = network, context, identity
        self.member = identity.member
        self.chain = ChainId(identity.device + incarnation)
        self._entropy = entropy
        founding = decode(genesis, network=network, context=context)
        action = decode_action(OpKind.GENESIS, open_payload(founding))
        assert isinstance(action, Genesis), "callers checked the kind"
        self.genesis = action
        self.fold = MembershipFold(policy_named(action.policy))
        make = applications.get(action.application)
        self.application = make(network, context) if make is not None else None
        self.ring = KeyRing(identity.sealing_secret)
        self.chains = Chains()
        self.forks: dict[ChainId, int] = {}
        self.wanted: dict[tuple[ChainId, int], MemberId] = {}
        self.news: list[News] = []
        self._clock = 0
        self._parked: dict[tuple[ChainId, int, OpId], tuple[bytes, Parked]] = {}
        self._waiting: dict[object, list[tuple[ChainId, int, OpId]]] = {}
        self._unopened: dict[bytes, set[tuple[ChainId, int]]] = {}
        self._folded: dict[tuple[ChainId, int], list[OpenedEntry]] = {}
        self._base: dict[tuple[tuple[OpId, ...], bytes, KeyId], tuple[Verdict, MemberId]] = {}
        self._membership_slots: dict[OpId, Slot] = {}
        self._places: dict[OpId, tuple[ChainId, int]] = {}
        self._genesis_chain = founding.header.chain
        self._tags: dict[SubjectRef, int] = {}
        self._subject_count = -1
        self._removed_seen: tuple[OpId, ...] = ()
        self.seen: tuple[int, bytes] = (0, bytes(32))  # the newest accepted checkpoint (k, root)

    # -- reading ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name in the genesis."""
        return self.genesis.name

    @property
    def membership(self) -> MembershipState:
        """Of everything held."""
        return self.fold.state()

    @property
    def vector(self) -> Vector:
        """Chain → next seq."""
        return self.chains.vector()

    def setting(self, name: str, default: int) -> int:
        """An integer setting of the genesis."""
        value = dict(self.genesis.settings).get(name, default)
        return value if isinstance(value, int) else default

    def verdict(self, chain: ChainId, seq: int) -> Verdict:
        """What the set of operations says of one. Raises KeyError or IndexError for what is not held."""
        return self.chains.slot(chain, seq).verdict

    def author(self, chain: ChainId, heads: tuple[OpId, ...]) -> MemberId:
        """The member whose device writes this chain, as the cited heads knew; NOBODY when none."""
        return self.fold.state_at(heads).devices.get(device_of(chain), NOBODY)

    @property
    def genesis_chain(self) -> ChainId:
        """The chain that the genesis opens: served first."""
        return self._genesis_chain

    def takes_from(self, member: MemberId | None) -> bool:
        """Whether operations handed in by this member are taken: it is in, or was never known to be out."""
        state = self.membership
        return member is not None and (member in state.members or all(r.member != member for r in state.removed))

    def farewell(self, member: MemberId) -> Vector | None:
        """What a removed member is shown: the causal past of its removal, as a vector; None when it wasn't removed."""
        removals = [r.op_id for r in self.membership.removed if r.member == member and r.device is None]
        if not removals:
            return None
        shown: Vector = {}
        for op_id in self.fold.closure(removals):
            chain, seq = self._places[op_id]
            shown[chain] = max(shown.get(chain, 0), seq + 1)
        return shown

    def parked(self) -> list[tuple[ChainId, int, Parked]]:
        """What waits, and why."""
        return [(chain, seq, reason) for (chain, seq, _), (_, reason) in self._parked.items()]

    def subject_tag(self, subject: SubjectRef) -> int:
        """The signed 64-bit hash that stands for the pseudonym in this home's index."""
        tag = self._tags.get(subject)
        if tag is None:
            raw = blake2b(self.context, subject, size=8, key=self.identity.index_key)
            tag = self._tags[subject] = int.from_bytes(raw, "big", signed=True)
        return tag

    def is_entitled(self, member: MemberId, entry: OpenedEntry) -> bool:
        """Whether the member is sent this PARTIES entry's ciphertext."""
        if member == entry.author or member in self.genesis.auditors:
            return True
        return self.application is not None and member in self.application.parties(entry)

    def open(self, wire: bytes) -> list[OpenedEntry | None]:
        """The entries of a held operation; None where pruned or unreadable."""
        header_bytes, _, body_bytes = split(wire)
        header = decode_header(header_bytes)
        return self._open(op_id_of(header_bytes), header, decode_body(body_bytes), self.author(header.chain, header.membership_heads))  # fmt: skip

    def redacted(self, member: MemberId, wire: bytes) -> bytes:
        """The operation as that member may have it: entries for others pruned to hash and size (§2).

        Someone who is no member any more gets hashes alone.
        """
        header_bytes, signature, body_bytes = split(wire)
        if member not in self.membership.members:
            if decode_header(header_bytes).plane != Plane.DATA:
                return wire
            body = decode_body(body_bytes)
            return join(header_bytes, signature, prune(body, frozenset(range(len(body.entries)))))
        if member in self.genesis.auditors:
            return wire
        body = decode_body(body_bytes)
        closed = [
            index
            for index, entry in enumerate(body.entries)
            if not entry.pruned and decode_label(entry.label).audience is Audience.PARTIES
        ]
        if not closed:
            return wire
        opened = self.open(wire)
        hidden = frozenset(
            i for i in closed if (entry := opened[i]) is None or not self.is_entitled(member, entry)
        )
        return join(header_bytes, signature, prune(body, hidden)) if hidden else wire

    # -- writing ----------------------------------------------------------------------------------------------

    def submit(self, now: int, drafts: Sequence[Draft]) -> tuple[Submitted, list[Effect]]:
        """Seal, sign and hold a batch of data entries. Raises NotPermitted or Refused; nothing is lost by either."""
        state = self.membership
        held = state.members.get(self.member)
        if held is None or held.role < Role.MEMBER:
            raise NotPermitted(
                "this node's member may not write here",
                code="not_permitted",
                advice="ask an admin for the role member",
            )
        key_id = state.usable_key()
        if key_id is None or key_id not in self.ring:
            raise Refused(
                "no key that only members hold",
                code="no_usable_key",
                advice="an admin's rotation brings one; try again",
            )
        header = self._header(now, Plane.DATA, OpKind.BATCH, key_id)
        nonce = self._entropy("entry nonce", 24)
        keys = {member: standing.sealing_key for member, standing in state.members.items()}
        sealed = self.ring.seal_entries(
            drafts, key_id=key_id, nonce=nonce, place=sealing_context(header), sealing_keys=keys
        )
        operation = build(header, nonce, sealed, self.identity.device_seed)
        opened: list[OpenedEntry | None] = [
            OpenedEntry(
                op_id=operation.op_id, index=index, kind=draft.kind, payload=draft.payload, subject=draft.subject,
                author=self.member, chain=self.chain, seq=header.seq, hlc=header.hlc,
            )
            for index, draft in enumerate(drafts)
        ]  # fmt: skip
        effects = self._hold(now, operation, own=True, opened=opened)
        return Submitted(operation.op_id, self.chain, header.seq, len(drafts)), effects

    def act(self, now: int, action: Action) -> tuple[OpId, list[Effect]]:
        """Sign and hold a membership or keys operation. The policy's answer was asked by the caller."""
        kind, payload = encode_action(action)
        plane = Plane.KEYS if kind is OpKind.ROTATE else Plane.MEMBERSHIP
        header = self._header(now, plane, kind, KeyId(bytes(32)))
        operation = build(header, self._entropy("nonce", 24), [(b"", payload)], self.identity.device_seed)
        return operation.op_id, self._hold(now, operation, own=True)

    def _header(self, now: int, plane: Plane, kind: OpKind, key_id: KeyId) -> Header:
        heads = self.fold.heads()
        if len(heads) > MAX_HEADS:
            heads = heads[:MAX_HEADS]
        self._clock = max(now << 16, self._clock + 1)
        return Header(
            network=self.network, context=self.context, plane=plane, chain=self.chain,
            seq=self.chains.next_seq(self.chain), prev=self.chains.head(self.chain), membership_heads=heads,
            seen_k=self.seen[0], seen_root=self.seen[1], key_id=key_id, hlc=self._clock, kind=kind,
            entries_root=bytes(32), count=1,
        )  # fmt: skip

    # -- taking -----------------------------------------------------------------------------------------------

    def receive(self, now: int, wire: bytes) -> list[Effect]:
        """Take an operation from anyone. Raises Invalid; parks what can't be judged yet; duplicates do nothing."""
        operation = decode(wire, network=self.network, context=self.context)
        effects = self._receive(now, operation)
        return effects

    def _receive(self, now: int, operation: Operation) -> list[Effect]:
        header = operation.header
        following = self.chains.next_seq(header.chain)
        if header.seq < following:
            return self._again(now, operation)
        reason = self._obstacle(now, header, following)
        if reason is not None:
            self._park(operation, *reason)
            return []
        if header.prev != self.chains.head(header.chain):
            raise BrokenChain("`prev` is not the operation before it")
        check_signature(operation)
        return self._hold(now, operation, own=False) + self._unpark(now, operation)

    def _obstacle(self, now: int, header: Header, following: int) -> tuple[Parked, object] | None:
        if header.seq > following:
            return Parked.GAP, (header.chain, header.seq - 1)
        for head in header.membership_heads:
            if head not in self.fold:
                return Parked.ANCESTRY, head
        if (header.hlc >> 16) > now + MAX_AHEAD_MS:
            return Parked.FUTURE, "time"
        return None

    def _park(self, operation: Operation, reason: Parked, until: object) -> None:
        place = (operation.header.chain, operation.header.seq, operation.op_id)
        if place not in self._parked and len(self._parked) < MAX_PARKED:
            self._parked[place] = (operation.wire, reason)
            self._waiting.setdefault(until, []).append(place)

    def _unpark(self, now: int, operation: Operation) -> list[Effect]:
        effects: list[Effect] = []
        for until in ((operation.header.chain, operation.header.seq), operation.op_id):
            effects += self._retry(now, until)
        return effects

    def _retry(self, now: int, until: object) -> list[Effect]:
        effects: list[Effect] = []
        for place in self._waiting.pop(until, []):
            waited = self._parked.pop(place, None)
            if waited is not None:
                try:
                    effects += self.receive(now, waited[0])
                except (BadSignature, BrokenChain):
                    effects.append(
                        Notify(
                            "parked_invalid", self.context, (("chain", short(place[0])), ("seq", place[1]))
                        )
                    )
        return effects

    def due(self, now: int) -> list[Effect]:
        """Operations parked until their time."""
        return self._retry(now, "time") if "time" in self._waiting else []

    def _again(self, now: int, operation: Operation) -> list[Effect]:
        """One already held: perhaps it brings ciphertexts that ours lacks, perhaps it is a fork."""
        header = operation.header
        slot = self.chains.slot(header.chain, header.seq)
        if slot.op_id != operation.op_id:
            return self._fork(now, operation)
        if (header.chain, header.seq) in self.wanted and not all(e.pruned for e in operation.body.entries):
            del self.wanted[header.chain, header.seq]
            return [Reread(self.context, header.chain, header.seq, operation.body_bytes)]
        return []

    def _fork(self, now: int, operation: Operation) -> list[Effect]:
        """Two signed operations on one (chain, seq): keep the proof, void both branches above finality (§3.6)."""
        header = operation.header
        check_signature(operation)
        if self._forked(header.chain, header.seq):
            return []
        self.forks[header.chain] = header.seq
        proof = ValueRecord(
            "fork", self.context, header.chain + header.seq.to_bytes(8, "big"), operation.wire
        )
        fields = (("device", short(device_of(header.chain))), ("seq", header.seq))
        return [Persist((proof,), False), *self._rejudge(), Notify("fork", self.context, fields)]

    # -- holding ----------------------------------------------------------------------------------------------

    def _hold(
        self, now: int, operation: Operation, *, own: bool, opened: list[OpenedEntry | None] | None = None
    ) -> list[Effect]:
        header = operation.header
        slot = self.chains.append(operation.op_id, header)
        self._clock = max(self._clock, header.hlc)
        if header.plane != Plane.DATA:
            extra, folds = self._take_membership(operation, slot), True
            rows: tuple[IndexRow, ...] = ()
        else:
            extra, rows, folds = self._take_data(operation, slot, opened)
        record = OpRecord(
            self.context, header.chain, header.seq, header.plane, folds, own, operation.header_bytes,
            operation.signature, operation.body_bytes, rows,
        )  # fmt: skip
        self.news.append(News(operation, own))
        return [Persist((record,), own), *extra]

    def _take_membership(self, operation: Operation, slot: Slot) -> list[Effect]:
        header = operation.header
        action = read_action(header.kind, open_payload(operation), self.context)
        self.fold.add(operation.op_id, header.chain, header.membership_heads, action)
        self._membership_slots[operation.op_id] = slot
        self._places[operation.op_id] = (header.chain, header.seq)
        return [*self._learn(action), *self._rejudge(), Notify("membership", self.context)]

    def _learn(self, action: Action) -> list[Effect]:
        gained: list[KeyId] = []
        bad = False
        rotation = getattr(action, "rotation", None)
        if rotation is not None:
            gained, bad = self.ring.learn(rotation, self.member)
        elif isinstance(action, Admit) and action.card.member == self.member:
            gained, bad = self.ring.learn_box(action.key_id, action.wrap)
        effects: list[Effect] = [r for key_id in gained for r in self._reread_all(key_id)]
        if bad:
            effects.append(Notify("bad_rotation", self.context))
        return effects

    def take_key(self, key: bytes) -> list[Effect]:
        """An epoch key pulled from another member; kept only if some operation here names it."""
        effects: list[Effect] = []
        for key_id in self.ring.take(key):
            record = ValueRecord("epoch_key", self.context, key_id, self.ring.epochs()[key_id], secret=True)
            effects += [Persist((record,), True), *self._reread_all(key_id)]
        return effects

    def _reread_all(self, missing: bytes) -> list[Effect]:
        places = self._unopened.pop(missing, set())
        return [Reread(self.context, chain, seq) for chain, seq in sorted(places)]

    def _take_data(
        self, operation: Operation, slot: Slot, opened: list[OpenedEntry | None] | None
    ) -> tuple[list[Effect], tuple[IndexRow, ...], bool]:
        header = operation.header
        slot.verdict, author = self._judge(header.chain, header.seq, slot)
        if opened is None:
            opened = self._open(operation.op_id, header, operation.body, author)
        return self._fold_entries((header.chain, header.seq), slot.verdict, opened)

    def _fold_entries(
        self, place: tuple[ChainId, int], verdict: Verdict, opened: Iterable[OpenedEntry | None]
    ) -> tuple[list[Effect], tuple[IndexRow, ...], bool]:
        application = self.application
        if application is None:
            return [], (), False
        rows: list[IndexRow] = []
        kept: list[OpenedEntry] = []
        indexed = application.indexed
        for entry in opened:
            if entry is None:
                continue
            if entry.kind in indexed:
                rows.append(
                    IndexRow(
                        entry.index,
                        entry.kind,
                        0 if entry.subject is None else self.subject_tag(entry.subject),
                    )
                )
            else:
                application.fold(entry, verdict)
                kept.append(entry)
        if kept:
            self._folded[place] = kept
        return self._learn_subjects() if kept else [], tuple(rows), bool(kept)

    def _learn_subjects(self) -> list[Effect]:
        assert self.application is not None
        keys = self.application.subject_keys()
        if len(keys) == self._subject_count:
            return []
        self._subject_count = len(keys)
        self.ring.set_subjects(keys)
        return [r for subject in list(self._unopened) if subject in keys for r in self._reread_all(subject)]

    def _open(self, op_id: OpId, header: Header, body: Body, author: MemberId) -> list[OpenedEntry | None]:
        """Open what the keys held allow; note what waits for a key, and pruned entries that are meant for us."""
        place = sealing_context(header)
        opened: list[OpenedEntry | None] = []
        for index, entry in enumerate(body.entries):
            label = decode_label(entry.label)
            if entry.ciphertext is None:
                self._want(header, body.nonce, index, label.tags, author)
                opened.append(None)
                continue
            try:
                got = self.ring.open_entry(
                    entry.ciphertext, index, key_id=header.key_id, nonce=body.nonce, place=place
                )
            except Malformed:
                opened.append(None)
                continue
            if got is None or got[1] is None:
                missing: bytes = header.key_id if got is None else got[0] or b""
                self._unopened.setdefault(missing, set()).add((header.chain, header.seq))
                opened.append(None)
                continue
            opened.append(
                OpenedEntry(
                    op_id=op_id, index=index, kind=label.kind, payload=got[1], subject=got[0], author=author,
                    chain=header.chain, seq=header.seq, hlc=header.hlc,
                )
            )  # fmt: skip
        return opened

    def _want(self, header: Header, nonce: bytes, index: int, tags: bytes, author: MemberId) -> None:
        if self.member in self.genesis.auditors:
            self.wanted[header.chain, header.seq] = author
            return
        standing = self.membership.members.get(author)
        if tags and standing is not None:
            mine = self.ring.tag(standing.sealing_key, nonce, index.to_bytes(4, "big"))
            if mine in split_tags(tags):
                self.wanted[header.chain, header.seq] = author

    def reread(self, wire: bytes, offered: bytes = b"") -> list[Effect]:
        """Open a held operation again: a key arrived, or `offered`, a body with ciphertexts that ours lacks."""
        operation = decode(wire, network=self.network, context=self.context)
        if offered:
            operation = filled(operation, decode_body(offered))
        header = operation.header
        slot = self.chains.slot(header.chain, header.seq)
        if header.plane != Plane.DATA:
            return []
        _, author = self._judge(header.chain, header.seq, slot)
        opened = self._open(operation.op_id, header, operation.body, author)
        extra, rows, folds = self._fold_entries((header.chain, header.seq), slot.verdict, opened)
        record = OpRecord(
            self.context, header.chain, header.seq, header.plane, folds, False, operation.header_bytes,
            operation.signature, operation.body_bytes, rows, replaces=True,
        )  # fmt: skip
        return [Persist((record,), False), *extra, Notify("opened", self.context)]

    # -- verdicts ---------------------------------------------------------------------------------------------

    def _judge(self, chain: ChainId, seq: int, slot: Slot) -> tuple[Verdict, MemberId]:
        """A data operation's verdict and author (PROTOCOL §§2–4)."""
        key = (slot.heads, device_of(chain), slot.key_id)
        base = self._base.get(key)
        if base is None:
            base = self._base[key] = self._judge_past(chain, slot)
        verdict, author = base
        if slot.final:
            return slot.verdict, author
        if verdict.effective:
            if self._forked(chain, seq):
                verdict = Verdict.VOID_FORK
            elif self._cut_off(chain, seq, slot, author):
                verdict = Verdict.VOID_AFTER_CUT_OFF
        return verdict, author

    def _forked(self, chain: ChainId, seq: int) -> bool:
        return chain in self.forks and self.forks[chain] <= seq

    def _judge_past(self, chain: ChainId, slot: Slot) -> tuple[Verdict, MemberId]:
        past = self.fold.state_at(slot.heads)
        author = past.devices.get(device_of(chain), NOBODY)
        standing = past.members.get(author)
        if standing is None:
            return Verdict.VOID_NOT_A_MEMBER, author
        if standing.role < Role.MEMBER:
            return Verdict.VOID_ROLE, author
        return (Verdict.EFFECTIVE if past.may_write_under(slot.key_id) else Verdict.VOID_KEY), author

    def _cut_off(self, chain: ChainId, seq: int, slot: Slot, author: MemberId) -> bool:
        return any(
            removed.member == author
            and not removed.stands(chain, seq)
            and not self.fold.in_past(removed.op_id, slot.heads)
            for removed in self.membership.removed
        )

    def _rejudge(self) -> list[Effect]:
        """After the membership changed: every verdict that is not final, and what was folded under it."""
        state = self.membership
        for op_id, slot in self._membership_slots.items():
            slot.verdict = state.verdicts[op_id]
        removed = tuple(r.op_id for r in state.removed)
        if removed == self._removed_seen and not self.forks:
            return []
        self._removed_seen = removed
        changed = 0
        for chain, seq, slot in self.chains.above({}):
            if slot.plane != Plane.DATA or slot.final:
                continue
            verdict, _ = self._judge(chain, seq, slot)
            if verdict is not slot.verdict:
                slot.verdict = verdict
                changed += 1
                for entry in self._folded.get((chain, seq), ()):
                    assert self.application is not None
                    self.application.fold(entry, verdict)
        return [Notify("verdicts", self.context, (("changed", changed),))] if changed else []

    def settle(self, places: Iterable[tuple[ChainId, int]]) -> None:
        """These operations are final: their verdicts never change again (S4)."""
        frozen: dict[OpId, Verdict] = {}
        for chain, seq in places:
            slot = self.chains.slot(chain, seq)
            slot.final = True
            if slot.plane != Plane.DATA:
                frozen[slot.op_id] = slot.verdict
        self.fold.freeze(frozen)

    def thaw(self, places: Iterable[tuple[ChainId, int]]) -> list[Effect]:
        """The block that made these final vanished."""
        slots = [self.chains.slot(chain, seq) for chain, seq in places]
        for slot in slots:
            slot.final = False
        self.fold.thaw(slot.op_id for slot in slots if slot.plane != Plane.DATA)
        self._removed_seen = ()
        return self._rejudge()

    # -- restart ----------------------------------------------------------------------------------------------

    def replay(self, record: OpRecord) -> None:
        """Hold an operation from the journal; bodies of data operations come only where `folds`."""
        header = decode_header(record.header)
        op_id = op_id_of(record.header)
        slot = self.chains.append(op_id, header)
        self._clock = max(self._clock, header.hlc)
        if record.plane != Plane.DATA:
            body = decode_body(record.body)
            operation = Operation(op_id, header, body, record.header, record.signature, record.body)
            action = read_action(header.kind, open_payload(operation), self.context)
            self.fold.add(op_id, header.chain, header.membership_heads, action)
            self._membership_slots[op_id] = slot
            self._places[op_id] = (header.chain, header.seq)
            self._learn(action)
        elif record.folds:
            slot.verdict, author = self._judge(header.chain, header.seq, slot)
            opened = self._open(op_id, header, decode_body(record.body), author)
            self._fold_entries((header.chain, header.seq), slot.verdict, opened)
        else:
            slot.verdict, _ = self._judge(header.chain, header.seq, slot)

    def restored(self) -> list[Effect]:
        """After the last `replay`: verdicts from the whole set, and what now can be opened."""
        self._removed_seen = ()
        effects = self._rejudge()
        for missing in list(self._unopened):
            if (
                missing in self.ring.epochs()
                or self.application
                and missing in self.application.subject_keys()
            ):
                effects += self._reread_all(missing)
        return effects


def read_action(kind: int, payload: bytes, context: ContextId) -> Action:
    """An operation's meaning, with its certificates and proofs checked: Unreadable where they don't hold."""
    try:
        action = decode_action(kind, payload)
        match action:
            case Genesis(founder=card) | Admit(card=card):
                check_certificate(card.member, card.device, card.certificate)
            case DeviceAdd(member=member, device=device, certificate=certificate):
                check_certificate(member, device, certificate)
            case VoterKey():
                check_voter_key(action, context)
    except (Malformed, BadSignature):
        return Unreadable(kind=kind)
    return action
