"""One node's copy of one context: takes operations, judges them, opens what it may, writes its own (PROTOCOL §2).

Bytes and time in, effects out. Who is connected, and what to send to whom, is sync.py; checkpoints are
checkpoints.py. Invalid input raises; everything else is held and gets a verdict, or is parked with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Final

from medsync_protocol import erasing, forks, learning, retention
from medsync_protocol.actions import Action, Genesis, Merge, decode_action, encode_action
from medsync_protocol.application import Application, Draft, Label, OpenedEntry
from medsync_protocol.chains import Chains, Slot, Vector
from medsync_protocol.crypto import Entropy, blake2b
from medsync_protocol.effects import Effect, Notify, Persist, Reread
from medsync_protocol.errors import BadSignature, BrokenChain, Malformed, NotPermitted, Refused
from medsync_protocol.folded import Folded
from medsync_protocol.identity import Identity
from medsync_protocol.ids import (
    NOTHING_SEEN, ChainId, ContextId, KeyId, MemberId, NetworkId, OpId, Place, Seen, SubjectRef, short,
)  # fmt: skip
from medsync_protocol.journal import IndexRow, OpRecord
from medsync_protocol.kinds import Audience, EntryKind, OpKind, Plane, Role, Verdict
from medsync_protocol.membership import MembershipFold, MembershipState
from medsync_protocol.membership_state import Removed, Resumed
from medsync_protocol.membership_verdicts import Verdicts
from medsync_protocol.news import News, Submitted, notices
from medsync_protocol.opening import Opened, Opener
from medsync_protocol.operation import (
    MAX_HEADS, NO_KEY, Header, Operation, build, check_signature, decode, decode_body, decode_header,
    decode_label, filled, op_id_of, open_payload, sealing_context,
)  # fmt: skip
from medsync_protocol.parking import TIME, Parked, ParkingLot, obstacle
from medsync_protocol.policy import Policies
from medsync_protocol.reading import read_action
from medsync_protocol.sealing import KeyRing
from medsync_protocol.serving import needed_keys
from medsync_protocol.verdicts import Judge

__all__ = ["ApplicationFactory", "News", "Place", "Replica", "Submitted"]

COMMITTED_KINDS: Final = frozenset({int(EntryKind.DIRECTIVE), int(EntryKind.REVOCATION), int(EntryKind.REWARD_ROOT)})
"""Entry kinds whose labels make the consent map and the reward root."""

ApplicationFactory = Callable[[NetworkId, ContextId, Genesis], Application]


class Replica:
    """See the module. `application` folds data entries; `chain` is the one this process writes to."""

    def __init__(
        self, genesis: bytes, *, network: NetworkId, context: ContextId, identity: Identity, incarnation: bytes,
        applications: Mapping[str, ApplicationFactory], entropy: Entropy, policies: Policies | None = None,
    ) -> None:  # fmt: skip
        """Raises Malformed when `genesis` is none, Refused when its membership policy is not this node's."""
        self.network, self.context, self.identity = network, context, identity
        self.member = identity.member
        self.chain = ChainId(identity.device + incarnation)
        self._entropy = entropy
        founding = decode(genesis, network=network, context=context)
        action = decode_action(founding.header.kind, open_payload(founding))
        if not isinstance(action, Genesis):
            raise Malformed("a context begins with its genesis")
        self.genesis = action
        self.genesis_chain = founding.header.chain
        self.genesis_wire = genesis
        policies = policies or Policies()
        self.fold = MembershipFold(policies.of(action), policies)
        make = applications.get(action.application)
        self.application = make(network, context, action) if make is not None else None
        self.ring = KeyRing(*identity.sealing_secrets)
        self.chains = Chains()
        self.judge = Judge(self.fold, self.chains)
        self.opener = Opener(self.ring, self.member, action.auditors)
        self.labels: dict[Place, tuple[tuple[int, Label], ...]] = {}
        self.news: list[News] = []
        self.places: dict[OpId, Place] = {}
        self.erased = erasing.Erased()
        self.retention = retention.book_of(network, context, action.setting(retention.SETTING, 0))
        self.opener.gone, self.opener.closed, self.opener.months = self.erased.places, self.erased.closed, self.retention
        self.governance_wires: dict[OpId, bytes] = {}
        self.branches: dict[OpId, bytes] = {}
        """Operations on places of forked chains where another is held."""
        self.suspected: set[Place] = set()
        """Places where whoever sent the operation after it must hold another one than this node: to be asked for."""
        self.parking = ParkingLot()
        self.seen = NOTHING_SEEN
        self._clock = 0
        self.folded = Folded(self.application)
        self._tags: dict[SubjectRef, int] = {}
        self.subject_count = -1
        self._removed_seen: tuple[Removed | Resumed, ...] = ()
        self._admitted_seen: frozenset[OpId] = frozenset()
        self._misread: list[Place] = []  # operations that were opened as a stranger's and are not: to be opened again
        self._verdicts: Verdicts | None = None
        self._replayed: list[Effect] = []
        self._usable: tuple[MembershipState | None, KeyId | None] = (None, None)

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

    @property
    def latest(self) -> int:
        """Time in ms of the latest operation held: what this node writes comes after it, whatever its clock says."""
        return self._clock >> 16

    @property
    def role(self) -> Role | None:
        """This node's member's role; None when it is no member."""
        standing = self.membership.members.get(self.member)
        return None if standing is None else standing.role

    def readable(self) -> Vector:
        """Chain → how many of its operations are held, readable and judged: what a decision may rest on."""
        held = self.vector
        for chain, seq in self.opener.first_unreadable(needed_keys(self)).items():
            held[chain] = min(held[chain], seq)
        for chain, seq in self.opener.blank:
            if self.chains.slot(chain, seq).verdict.effective:
                held[chain] = min(held[chain], seq)
        for chain, first in self.judge.forks.items():
            if chain in held:  # who holds which branch differs; what is final stays
                held[chain] = min(held[chain], max(first, self.chains.final_count(chain)))
        return {chain: count for chain, count in held.items() if count}

    def verdict(self, chain: ChainId, seq: int) -> Verdict:
        """What the set of operations says of one. Raises KeyError or IndexError for what is not held."""
        return self.chains.slot(chain, seq).verdict

    def subject_tag(self, subject: SubjectRef) -> int:
        """The signed 64-bit hash that stands for the pseudonym in this home's index."""
        tag = self._tags.get(subject)
        if tag is None:
            raw = blake2b(self.context, subject, size=8, key=self.identity.index_key)
            tag = self._tags[subject] = int.from_bytes(raw, "big", signed=True)
        return tag

    def open(self, wire: bytes) -> tuple[OpenedEntry | None, ...]:
        """The entries of a held operation; None where pruned or unreadable."""
        return self._open(decode(wire, network=self.network, context=self.context)).entries

    def opened(self, operation: Operation) -> tuple[OpenedEntry | None, ...]:
        """The entries of an operation; None where pruned or unreadable."""
        return self._open(operation).entries

    def forget(self, gone: Callable[[OpenedEntry], bool]) -> list[Place]:
        """A subject's key was destroyed: so is what was kept of these entries to fold them again; where they stand."""
        places = self.folded.forget(gone)
        self.ring.set_subjects(retention.keys_of(self))
        self.subject_count = -1
        return places

    def _open(self, operation: Operation) -> Opened:
        header = operation.header
        author = self.judge.author(header.chain, header.membership_heads, header.seen)
        return self.opener.open(operation, author, self.membership)

    # -- writing ----------------------------------------------------------------------------------------------

    def submit(self, now: int, drafts: Sequence[Draft]) -> tuple[Submitted, list[Effect]]:
        """Seal, sign and hold a batch of data entries. Raises NotPermitted or Refused; nothing is lost by either."""
        state = self.membership
        held = state.members.get(self.member)
        if held is None or held.role < Role.MEMBER:
            raise NotPermitted(
                "this node's member may not write here", code="not_permitted",
                advice="ask an admin for the role member",
            )  # fmt: skip
        key_id = self._key_for_writing(state)
        drafts = retention.filed(self, self._entropy, now, drafts)
        merged = self._merged(now)
        header = self._header(now, Plane.DATA, OpKind.BATCH, key_id)
        nonce = self._entropy("entry nonce", 24)
        keys = {member: standing.sealing_key for member, standing in state.members.items()}
        sealed = self.ring.seal_entries(
            drafts, key_id=key_id, nonce=nonce, place=sealing_context(header), sealing_keys=keys
        )
        operation = build(header, nonce, sealed, self.identity.device_seed)
        entries = tuple(
            OpenedEntry(
                op_id=operation.op_id, index=index, kind=draft.kind, payload=draft.payload, subject=draft.subject,
                author=self.member, chain=self.chain, seq=header.seq, hlc=header.hlc, kept_by=draft.kept_by,
            )
            for index, draft in enumerate(drafts)
        )  # fmt: skip
        labels = tuple(
            (index, decode_label(entry.label))
            for index, entry in enumerate(operation.body.entries)
            if drafts[index].public
        )
        parties = tuple(
            frozenset(draft.parties) if draft.audience is Audience.PARTIES else None for draft in drafts
        )
        effects = self._hold(operation, own=True, opened=Opened(entries, labels), parties=parties)
        return Submitted(operation.op_id, self.chain, header.seq, len(drafts)), merged + effects

    def _key_for_writing(self, state: MembershipState) -> KeyId:
        if self._usable[0] is not state:
            self._usable = (state, state.usable_key())
        key_id = self._usable[1]
        if key_id is None or key_id not in self.ring:
            raise Refused(
                "no key that only members hold", code="no_usable_key",
                advice="an admin's rotation brings one; try again",
            )  # fmt: skip
        return key_id

    def act(self, now: int, action: Action) -> tuple[OpId, list[Effect]]:
        """Sign and hold a membership or keys operation. The policy's answer was asked by the caller."""
        kind, payload = encode_action(action)
        plane = Plane.KEYS if kind is OpKind.ROTATE else Plane.MEMBERSHIP
        merged, header = self._merged(now), self._header(now, plane, kind, NO_KEY)
        operation = build(header, self._entropy("nonce", 24), [(b"", payload)], self.identity.device_seed)
        return operation.op_id, merged + self._hold(operation, own=True)

    def _merged(self, now: int) -> list[Effect]:
        """A merge operation where there are more membership heads than a header may cite."""
        effects: list[Effect] = []
        while len(self.fold.heads()) > MAX_HEADS:
            kind, payload = encode_action(Merge())
            header = self._header(now, Plane.MEMBERSHIP, kind, NO_KEY)
            merge = build(header, self._entropy("nonce", 24), [(b"", payload)], self.identity.device_seed)
            effects += self._hold(merge, own=True)
        return effects

    def _header(self, now: int, plane: Plane, kind: OpKind, key_id: KeyId) -> Header:
        self._clock = max(now << 16, self._clock + 1)
        return Header(
            network=self.network, context=self.context, plane=plane, chain=self.chain,
            seq=self.chains.next_seq(self.chain), prev=self.chains.head(self.chain),
            membership_heads=self.fold.heads()[:MAX_HEADS], seen_k=self.seen[0], seen_root=self.seen[1],
            key_id=key_id, hlc=self._clock, kind=kind, entries_root=bytes(32), count=1,
        )  # fmt: skip

    # -- taking -----------------------------------------------------------------------------------------------

    def receive(self, now: int, wire: bytes, *, own: bool = False) -> list[Effect]:
        """Take an operation from anyone. Raises Invalid; parks what can't be judged yet; duplicates do nothing."""
        operation = decode(wire, network=self.network, context=self.context)
        header = operation.header
        following = self.chains.next_seq(header.chain)
        if header.seq < following:
            return self._again(operation)
        waiting = obstacle(header, now, following, self.fold)
        if waiting is not None and waiting[0] is Parked.GAP and header.prev in self.branches:
            check_signature(operation)
            return forks.branch(self, now, operation)
        if waiting is not None:
            reason, until = waiting
            place = (header.chain, header.seq, operation.op_id)
            self.parking.park(place, operation.wire, reason, until)
            return []
        check_signature(operation)
        if header.prev != self.chains.head(header.chain):
            if self.judge.forked(header.chain, header.seq):
                return forks.branch(self, now, operation)
            self.suspected.add((header.chain, header.seq - 1))
            raise BrokenChain("`prev` is not the operation before it")
        effects = self._hold(operation, own=own)
        if len(self.parking):
            effects += self.retry(now, (header.chain, header.seq))
            effects += self.retry(now, operation.op_id)
        return effects

    def retry(self, now: int, until: Hashable) -> list[Effect]:
        """Take up again what waited for this."""
        effects: list[Effect] = []
        for (chain, seq, _), wire in self.parking.release(until):
            try:
                effects += self.receive(now, wire)
            except (BadSignature, BrokenChain):
                effects.append(Notify("parked_invalid", self.context, (("chain", short(chain)), ("seq", seq))))
        return effects

    def due(self, now: int) -> list[Effect]:
        """Operations parked until their time."""
        return self.retry(now, TIME) if self.parking.waits_for(TIME) else []

    def _again(self, operation: Operation) -> list[Effect]:
        """One already held: perhaps it brings ciphertexts that ours lacks, perhaps it is a fork."""
        header = operation.header
        place = (header.chain, header.seq)
        if self.chains.slot(*place).op_id != operation.op_id:
            return forks.fork(self, operation)
        opener = self.opener
        lacking = place in opener.wanted or place in opener.blank or place in opener.gone
        if lacking and not all(entry.pruned for entry in operation.body.entries):
            return [Reread(self.context, header.chain, header.seq, operation.body_bytes)]
        return []

    def drop(self, operation: Operation) -> None:
        """Hold an operation of a forked chain no more: another branch takes its place."""
        place = (operation.header.chain, operation.header.seq)
        self.folded.drop(place)
        self.labels.pop(place, None)
        self.places.pop(operation.op_id, None)
        self.opener.drop(place)

    def hold(self, operation: Operation) -> list[Effect]:
        """Take an operation whose signature was checked and that follows what is held of its chain."""
        return self._hold(operation, own=False)

    # -- holding ----------------------------------------------------------------------------------------------

    def _hold(
        self, operation: Operation, *, own: bool, opened: Opened | None = None,
        parties: tuple[frozenset[MemberId] | None, ...] = (),
    ) -> list[Effect]:  # fmt: skip
        header = operation.header
        slot = self.chains.append(operation.op_id, header)
        self._clock = max(self._clock, header.hlc)
        take = self._take_data if header.plane == Plane.DATA else self._take_membership
        extra, rows, folds = take(operation, slot, opened)
        record = OpRecord(
            self.context, header.chain, header.seq, header.plane, folds, own, operation.header_bytes,
            operation.signature, operation.body_bytes, rows,
        )  # fmt: skip
        self.news.append(News(operation, own, parties))
        return [Persist((record,), own), *extra]

    def _take_membership(
        self, operation: Operation, slot: Slot, opened: Opened | None
    ) -> tuple[list[Effect], tuple[IndexRow, ...], bool]:
        action = self._add_action(operation, slot)
        return [*learning.learn(self, action), *self.rejudge(), Notify("membership", self.context)], (), True

    def _add_action(self, operation: Operation, slot: Slot) -> Action:
        self.places[operation.op_id] = (operation.header.chain, operation.header.seq)
        return self.add_to_fold(operation)

    def add_to_fold(self, operation: Operation) -> Action:
        """Let a membership or keys operation, or a branch beside one, be judged."""
        header = operation.header
        action = read_action(header, operation.body, self.context)
        self.fold.add(operation.op_id, header.chain, header.membership_heads, action, header.seen, header.seq)
        self.governance_wires[operation.op_id] = operation.wire
        return action

    def _take_data(
        self, operation: Operation, slot: Slot, opened: Opened | None
    ) -> tuple[list[Effect], tuple[IndexRow, ...], bool]:
        header = operation.header
        slot.verdict, author = self.judge.judge(header.chain, header.seq, slot)
        if opened is None:
            opened = self.opener.open(operation, author, self.membership)
        return self._fold_entries((header.chain, header.seq), slot.verdict, opened)

    def _fold_entries(
        self, place: Place, verdict: Verdict, opened: Opened
    ) -> tuple[list[Effect], tuple[IndexRow, ...], bool]:
        """(effects, rows for the journal's index, whether the body must be read again at start)."""
        committed = tuple(pair for pair in opened.labels if pair[1].kind in COMMITTED_KINDS)
        if committed:
            self.labels[place] = committed
        application = self.application
        if application is None:
            return [], (), bool(committed or opened.waits)
        rows: list[IndexRow] = []
        kept: list[OpenedEntry] = []
        indexed = application.indexed
        for entry in opened.entries:
            if entry is None:
                continue
            if entry.kind in indexed:
                rows += retention.index_rows(self, entry)
            else:
                kept.append(entry)
        retention.learn(self, kept)
        self.folded.fold(place, kept, verdict)
        folds = bool(kept or committed or opened.waits)
        again = [Reread(self.context, *place)] if opened.buried or erasing.concerns_closed(self, kept) else []
        told = notices(application, self.context, kept, verdict)
        return [*(learning.learn_subjects(self) if kept else ()), *again, *told], tuple(rows), folds

    def reread(self, wire: bytes, offered: bytes = b"") -> list[Effect]:
        """Open a held operation again: a key arrived, or `offered`, a body with ciphertexts that ours lacks."""
        held = decode(wire, network=self.network, context=self.context)
        operation = filled(held, decode_body(offered)) if offered else held
        header = operation.header
        if header.plane != Plane.DATA:
            return []
        operation, erased = erasing.without_erased(self, operation)
        slot = self.chains.slot(header.chain, header.seq)
        extra, rows, folds = self._fold_entries(
            (header.chain, header.seq), slot.verdict, self._open(operation)
        )
        record = OpRecord(
            self.context, header.chain, header.seq, header.plane, folds, False, operation.header_bytes,
            operation.signature, operation.body_bytes, rows, replaces=True,
        )  # fmt: skip
        return [Persist((record, *erased), bool(erased)), *extra, Notify("opened", self.context)]

    # -- verdicts ---------------------------------------------------------------------------------------------

    def rejudge(self) -> list[Effect]:
        """After the membership changed: every verdict that is not final, and what was folded under it."""
        state = self.membership
        assert isinstance(state.verdicts, Verdicts)
        for op_id, verdict in state.verdicts.since(self._verdicts):
            if op_id in self.places:
                self.chains.slot(*self.places[op_id]).verdict = verdict
        before, self._verdicts = self._verdicts, state.verdicts
        removed: tuple[Removed | Resumed, ...] = state.removed
        removed += tuple(resumed for of in state.resumed.values() for resumed in of)
        admitted = frozenset(op for of in (*state.admissions.values(), *state.certified.values()) for op in of)
        moved = self._admitted_seen ^ admitted
        self._admitted_seen = admitted
        others = before is not None and any(op_id in before for op_id in moved)  # held before, and counts otherwise now
        if removed == self._removed_seen and not others and not self.judge.forks:
            return []
        self._removed_seen = removed
        changed = list(self.judge.changed())
        for chain, seq, slot, verdict in changed:
            self._set_verdict((chain, seq), slot, verdict)
        again, self._misread = self._misread, []
        effects: list[Effect] = [Reread(self.context, *place) for place in again]
        return [Notify("verdicts", self.context, (("changed", len(changed)),)), *effects] if changed else effects

    def _set_verdict(self, place: Place, slot: Slot, verdict: Verdict) -> None:
        if slot.verdict is verdict:
            return
        author: MemberId | None = None
        if slot.verdict is Verdict.VOID_NOT_A_MEMBER:  # by a checkpoint its author was a member after all
            author = self.judge.author(place[0], slot.heads, slot.seen)
            self._misread.append(place)
        slot.verdict = verdict
        self.folded.again(place, verdict, author)

    def settle(self, seen: Seen, verdicts: Iterable[tuple[ChainId, int, Verdict]]) -> None:
        """The newest accepted checkpoint makes these verdicts final: they never change again (S4). `rejudge` follows."""
        final = [(chain, seq, self.chains.slot(chain, seq), verdict) for chain, seq, verdict in verdicts]
        self.seen = seen
        self.fold.freeze(*seen, {slot.op_id: v for _, _, slot, v in final if slot.plane != Plane.DATA})
        self._finality_changed()
        for chain, seq, slot, verdict in final:
            if slot.plane == Plane.DATA:
                self._set_verdict((chain, seq), slot, verdict)
            self.chains.mark_final(chain, seq)

    def thaw(self, seen: Seen, places: Iterable[Place]) -> None:
        """The blocks that made these final vanished; `seen` is the newest checkpoint that is left. `rejudge` follows."""
        for chain, seq in places:
            self.chains.mark_open(chain, seq)
        self.seen = seen
        self.fold.thaw(seen[0] + 1)
        self._finality_changed()

    def _finality_changed(self) -> None:
        self.judge.forget()
        self._removed_seen = ()

    # -- restart ----------------------------------------------------------------------------------------------

    def replay(self, record: OpRecord) -> None:
        """Hold an operation from the journal; bodies of data operations come only where `folds`."""
        header = decode_header(record.header)
        op_id = op_id_of(record.header)
        slot = self.chains.append(op_id, header)
        self._clock = max(self._clock, header.hlc)
        if record.plane == Plane.DATA and not record.folds:
            slot.verdict, _ = self.judge.judge(header.chain, header.seq, slot)
            return
        body = decode_body(record.body)
        operation = Operation(op_id, header, body, record.header, record.signature, record.body)
        if record.plane != Plane.DATA:
            effects = learning.learn(self, self._add_action(operation, slot))
        else:
            effects = self._take_data(operation, slot, None)[0]
        self._replayed += [effect for effect in effects if isinstance(effect, Reread)]

    def restored(self) -> list[Effect]:
        """After the last `replay`: verdicts from the whole set, and what now can be opened."""
        self._removed_seen = ()
        effects, self._replayed = self._replayed, []
        effects += self.rejudge()
        known = retention.keys_of(self)
        for missing in (*self.opener.missing_epochs(), *self.opener.missing_subjects(known)):
            if len(missing) != 32 or missing in self.ring.epochs():
                effects += learning.reread_all(self, missing)
        return effects

