"""After a month's end the node's disk holds no row of it nor its key; a subject's erasure leaves rows where they are."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace

import trio
from medsync_node.node import Node
from medsync_node.transport import MemoryNetwork
from medsync_protocol import erasing
from medsync_protocol.candidate import Cut
from medsync_protocol.effects import Effect
from medsync_protocol.ids import ContextId
from medsync_protocol.kinds import EntryKind
from medsync_protocol.operation import decode_body, label_of
from medsync_protocol.retention import MONTH_ENDED
from medsync_protocol.settled_cuts import SettledCuts
from tests.node.node_world import connect, memory_node, until
from tests.node.test_erasure import order, settled, stored, written

KINDS = (EntryKind.ACCESS,)


def rows_on_disk(path: Path) -> list[bytes]:
    """Ciphertexts of the log's halves and of the keys that keep them, as the journal holds them."""
    found = []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        bodies = [decode_body(bytes(row[0])) for row in connection.execute("SELECT body FROM ops")]
    for body in bodies:
        for entry in body.entries:
            label = label_of(entry) if entry.label else None
            if label is not None and label.kind in (EntryKind.ACCESS, EntryKind.MONTH_KEY) and entry.ciphertext is not None:
                found.append(entry.ciphertext)
    return found


def at_the_end(node: Node, context: ContextId) -> tuple[None, list[Effect]]:
    """A checkpoint settles after the month was kept for as long as it had to be."""
    replica = node.engine.replica(context)
    assert replica.retention is not None
    (made,) = replica.retention.held().values()
    newest = SimpleNamespace(cut=Cut(), statement=SimpleNamespace(not_before=replica.retention.ends(made.month)))
    replica.application.cuts = SettledCuts([newest], 0)  # type: ignore[union-attr, list-item]
    return None, erasing.due(replica)


async def test_rows_stay_when_their_subject_goes_and_go_with_their_month(tmp_path: Path) -> None:
    network, path, backup = MemoryNetwork(), tmp_path / "north.db", tmp_path / "backup.db"
    async with memory_node(network, tmp_path, "north") as node:
        context = await connect([node], retention_months=1)
        subject = await written(node, context)
        await order(node, context, subject)
        await node.perform(lambda now: settled(node, context))
        replica = node.engine.replica(context)
        await until(lambda: subject in replica.erased.closed and len(replica.erased.places) >= 4)
        assert len(await node.log(context, KINDS, subject, None, 9)) == 3, "who asked, for what, when, about whom"
        (key,) = replica.retention.keys().values()  # type: ignore[union-attr]
        before = rows_on_disk(path)
        assert len(before) == 4 and all(text in stored(path) for text in before)
        await trio.to_thread.run_sync(node.store.reader.backup, backup)
        await node.perform(lambda now: at_the_end(node, context))
        await until(lambda: not any(text in stored(path) for text in [*before, key]))
        assert await node.log(context, KINDS, subject, None, 9) == [] and MONTH_ENDED in replica.erased.closed.values()
    for file in tmp_path.glob("north.db*"):
        file.unlink()
    backup.rename(path)
    async with memory_node(network, tmp_path, "north", incarnation=b"restored") as node:
        assert len(await node.log(context, KINDS, subject, None, 9)) == 3, "the backup is older"
        await node.perform(lambda now: at_the_end(node, context))
        await until(lambda: not any(text in stored(path) for text in [*before, key]))
    async with memory_node(network, tmp_path, "north") as again:
        replica = again.engine.replica(context)
        assert MONTH_ENDED in replica.erased.closed.values() and not replica.retention.held()  # type: ignore[union-attr]
