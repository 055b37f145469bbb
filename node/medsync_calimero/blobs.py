"""Blobs: pieces in a group's log, sealed under its key on the wire and on disk; without a context, sealed in this home alone.

A blob's id is the SHA-256 of its bytes. Members of the group have it, nobody else; a deleted one is forgotten, its pieces
stay in the log.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsync_calimero.answers import Answered
from medsync_calimero.asking import Asked
from medsync_calimero.encodings import b58, from_b58
from medsync_calimero.groups import Group, Groups
from medsync_node.home import write_private
from medsync_protocol.application import Draft
from medsync_protocol.crypto import seal, unseal
from medsync_protocol.errors import Malformed
from medsync_protocol.group import BLOB_KEY, BLOB_KIND
from medsync_protocol.ids import ChainId
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_calimero.book import Book

PIECE: Final = 192 * 1024  # bytes: with its frame inside one operation of 256 KiB
MAX_BLOB: Final = 32 << 20  # bytes: every member keeps it for ever


class Blobs:
    """See the module. `directory` None: no blobs without a context."""

    def __init__(self, groups: Groups, book: Book, directory: Path | None) -> None:
        self._groups, self._book, self._directory = groups, book, directory
        self._node = groups.node

    async def put_blob(self, asked: Asked) -> Any:
        """Keep the body; for a context, with all members of its group."""
        if len(asked.raw) > MAX_BLOB:
            raise Answered(413, f"a blob has at most {MAX_BLOB} bytes")
        digest = hashlib.sha256(asked.raw).digest()
        wanted = asked.query.get("hash")
        if wanted not in (None, digest.hex(), b58(digest)):
            raise Answered(400, "the body's SHA-256 differs from the one that was named")
        context = asked.query.get("context_id")
        if context is None:
            self._keep_here(digest, asked.raw)
        else:
            await self._share(self._groups.instance(from_b58(context, "a context id")).group, digest, asked.raw)
        return {"blob_id": b58(digest), "size": len(asked.raw)}

    def _keep_here(self, digest: bytes, data: bytes) -> None:
        if self._directory is None:
            raise Answered(400, "missing `context_id`: this node keeps no blobs of its own")
        self._directory.mkdir(mode=0o700, exist_ok=True)
        nonce = self._node.engine.entropy("blob nonce", 24)
        write_private(self._directory / digest.hex(), seal(self._node.identity.storage_key, data, nonce=nonce, associated=digest))
        self._book.put("blobs", digest.hex(), len(data))

    async def _share(self, group: Group, digest: bytes, data: bytes) -> None:
        if group.replica.role is None or group.replica.role < Role.MEMBER:
            raise Answered(403, "this node's member is ReadOnly here: it may fetch blobs, but not add any")
        await self._groups.writable(group.replica)
        places = []
        for start in range(0, max(len(data), 1), PIECE):
            drafts = [Draft(kind=BLOB_KIND, payload=data[start : start + PIECE])]
            done = await self._node.perform(lambda now, d=drafts: self._node.engine.submit(now, group.replica.context, d))  # type: ignore[misc]
            places.append([done.chain.hex(), done.seq])
        await self._groups.put(group, BLOB_KEY + digest.hex(), {"size": len(data), "pieces": places})

    def _find(self, id_: str) -> tuple[bytes, Group | None, int, Any]:
        digest = from_b58(id_, "a blob id")
        for group in self._groups.held():
            row = group.application.value(BLOB_KEY + digest.hex()) if group.replica.role is not None else None
            if row is not None:
                return digest, group, row["size"], row["pieces"]
        size = self._book.get("blobs", digest.hex())
        if size is None:
            raise Answered(404, f"no blob {id_} here")
        return digest, None, size, None

    async def get_blob(self, asked: Asked) -> bytes:
        """The bytes, checked against the id."""
        digest, group, _, pieces = self._find(asked.path["blob"])
        if group is None:
            assert self._directory is not None, "it was kept there"
            data = self._unsealed((self._directory / digest.hex()).read_bytes(), digest)
        else:
            data = b"".join(self._piece(group, ChainId(bytes.fromhex(chain)), seq) for chain, seq in pieces)
        if hashlib.sha256(data).digest() != digest:
            raise Answered(502, "what a member wrote as this blob has another SHA-256: it is not handed out")
        return data

    def _unsealed(self, sealed: bytes, digest: bytes) -> bytes:
        """Under this home's storage key, or one before it. Raises Malformed."""
        for key in self._node.identity.storage_keys:
            with suppress(Malformed):
                return unseal(key, sealed, digest)
        raise Malformed("a blob that no key of this home opens")

    def _piece(self, group: Group, chain: ChainId, seq: int) -> bytes:
        wire = self._node.store.reader.read_op(group.replica.context, chain, seq)
        entries = () if wire is None else group.replica.open(wire)
        if not entries or entries[0] is None or entries[0].kind != BLOB_KIND:
            raise Answered(503, "a piece of this blob has not come yet; it is on its way, ask again")
        return entries[0].payload

    async def head_blob(self, asked: Asked) -> dict[str, str]:
        """Its headers."""
        digest, _, size, _ = self._find(asked.path["blob"])
        return {"content-length": str(size), "x-blob-hash": digest.hex(), "x-blob-id": b58(digest)}

    async def blobs(self, asked: Asked) -> Any:
        """All that can be fetched here."""
        found = self._book.section("blobs")
        for group in self._groups.held():
            if group.replica.role is not None:
                found |= {key: row["size"] for key, row in group.application.values(BLOB_KEY).items()}
        return {"blobs": [{"blob_id": b58(bytes.fromhex(key)), "size": size} for key, size in sorted(found.items())]}

    async def delete_blob(self, asked: Asked) -> Any:
        """Forget it: for all members where it was shared."""
        digest, group, _, _ = self._find(asked.path["blob"])
        if group is not None:
            await self._groups.put(group, BLOB_KEY + digest.hex(), None)
        else:
            self._book.put("blobs", digest.hex(), None)
            if self._directory is not None:
                (self._directory / digest.hex()).unlink(missing_ok=True)
        return {"blob_id": asked.path["blob"], "deleted": True}
