"""After an erasure the node's disk holds nothing of the subject: database, log and free pages are searched for its bytes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import trio
from medsync_node.node import Node
from medsync_node.transport import MemoryNetwork
from medsync_protocol import erasing
from medsync_protocol.access import make_request
from medsync_protocol.crypto import blake2b, signing_public
from medsync_protocol.effects import Effect
from medsync_protocol.erasure import EraseOrder, sign_order
from medsync_protocol.ids import ContextId, SubjectRef
from medsync_protocol.operation import decode_body
from tests.node.node_world import connect, memory_node, until

PATIENT = blake2b(b"patient")


async def written(node: Node, context: ContextId) -> SubjectRef:
    """A subject, and three accesses to its data that were asked for, decided and logged."""
    engine, me = node.engine, node.identity.member
    now = node.now()
    desk = engine.desk(context)
    subject, drafts = desk.enrol(
        now, custodians=[me], homes=[me], patient_keys=[signing_public(PATIENT)], delegate_keys=[]
    )
    await node.perform(lambda now: engine.submit(now, context, drafts))
    for number in range(3):
        replica = engine.replica(context)
        request = make_request(
            replica.network, context, subject, me, purposes=("TREAT",), action="access", time=now,
            salt=number.to_bytes(16, "big"),
        )  # fmt: skip
        _, made = engine.desk(context).decide(now, request)
        await node.perform(lambda now, made=made: engine.submit(now, context, made))
    return subject


def stored(path: Path) -> bytes:
    """Everything that lies on the disk for this journal."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))


def ciphertexts(path: Path) -> list[bytes]:
    """Of all data entries that are about somebody, as the journal holds them."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        bodies = [row[0] for row in connection.execute("SELECT body FROM ops")]
    found = []
    for body in bodies:
        found += [e.ciphertext for e in decode_body(bytes(body)).entries if e.label and e.ciphertext is not None]
    return found


def settled(node: Node, context: ContextId) -> tuple[None, list[Effect]]:
    """All that is held is final."""
    replica = node.engine.replica(context)
    replica.application.set_final(replica.vector)  # type: ignore[union-attr]
    return None, erasing.due(replica)


async def order(node: Node, context: ContextId, subject: SubjectRef) -> None:
    """The patient's order, carried by the node."""
    wanted = EraseOrder(
        network=node.engine.replica(context).network, context=context, subject=subject, signer=signing_public(PATIENT),
        signed_at=node.now(), salt=bytes(16),
    )  # fmt: skip
    signed = sign_order(wanted, PATIENT)
    drafts = node.engine.desk(context).erase_signed(signed.document, signed.signature)[1]
    await node.perform(lambda now: node.engine.submit(now, context, drafts))


async def test_nothing_of_an_erased_subject_is_left_on_the_disk(tmp_path: Path) -> None:
    network = MemoryNetwork()
    path = tmp_path / "north.db"
    async with memory_node(network, tmp_path, "north") as node:
        context = await connect([node])
        subject = await written(node, context)
        key = node.engine.replica(context).application.subject_keys()[subject]  # type: ignore[union-attr]
        before = ciphertexts(path)
        assert len(before) >= 7 and all(text in stored(path) for text in before)
        await order(node, context, subject)
        await node.perform(lambda now: settled(node, context))
        replica = node.engine.replica(context)
        await until(lambda: not replica.erased.marks and len(replica.erased.places) >= 4)
        await until(lambda: subject in replica.erased.closed and replica.member in replica.application.erasure.attested(subject))
        await until(lambda: not any(text in stored(path) for text in [*before, key]))
        assert not node.store.reader.access_rows(context, [5, 6], replica.subject_tag(subject), limit=9)
        await node.perform(lambda now: node.engine.rotate(now, context))  # all before it is committed with it
        root = replica.membership.root()
        vector = replica.vector
    async with memory_node(network, tmp_path, "north") as again:
        replica = again.engine.replica(context)
        assert set(replica.erased.closed) == {subject} and replica.application.hidden(subject)
        assert (replica.membership.root(), replica.vector) == (root, vector)
        assert not replica.erased.marks and not replica.opener.wanted


async def test_a_restore_of_an_older_backup_erases_again_before_it_serves(tmp_path: Path) -> None:
    network = MemoryNetwork()
    path, backup = tmp_path / "north.db", tmp_path / "backup.db"
    async with memory_node(network, tmp_path, "north") as node:
        context = await connect([node])
        subject = await written(node, context)
        before = ciphertexts(path)
        await order(node, context, subject)
        await trio.to_thread.run_sync(node.store.reader.backup, backup)
    for file in tmp_path.glob("north.db*"):
        file.unlink()
    backup.rename(path)
    async with memory_node(network, tmp_path, "north", incarnation=b"restored") as node:
        assert node.engine.replica(context).application.hidden(subject), "hidden from the first moment"  # type: ignore[union-attr]
        await node.perform(lambda now: settled(node, context))
        replica = node.engine.replica(context)
        await until(lambda: not replica.erased.marks and len(replica.erased.places) >= 4)
        await until(lambda: not any(text in stored(path) for text in before))
