"""A node's API as far as the bridge asks it: real certificates, over HTTP or by direct calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from medsync_client import NotFound, Unreachable
from medsync_client.checkpoints import Certificate, ChainInfo, ChainRegistration, OpeningRequest
from medsync_client.contexts import Context, ContextHead, Contexts
from medsync_client.rewards import PoolVote, SweepRequest, VetoRequest
from medsync_protocol import stark
from medsync_protocol.address import ChainAddress
from medsync_protocol.reward_pool import sweep_digest, veto_digest
from medsync_protocol.rewards import Subtree
from tests.bridge.world import World


@dataclass(slots=True, kw_only=True)
class FakeNode:
    """Contexts by their name; `certificates` by (name, k)."""

    worlds: dict[str, World] = field(default_factory=dict)
    certificates: dict[tuple[str, int], Certificate] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    registrations: list[ChainRegistration] = field(default_factory=list)
    down: bool = False
    pool: tuple[int, int] = (0, 0)  # (contract, name) of the one that its terms name
    voter: int = 0  # whose node it is when votes are asked for

    def anchored(self, name: str, world: World) -> World:
        """Adds a context that is registered already."""
        self.worlds[name], self.addresses[name] = world, str(world.address)
        return world

    def certify(self, name: str, **changes: Any) -> Certificate:
        certificate = self.worlds[name].certify(**changes)
        self.certificates[name, certificate.k] = certificate
        return certificate

    async def contexts(self) -> Contexts:
        if self.down:
            raise Unreachable("no node answers", code="unreachable", advice="start it")
        return Contexts(contexts=tuple(self._context(name) for name in self.worlds))

    async def certificate(self, context: str, k: int) -> Certificate:
        name = bytes.fromhex(context).rstrip(b"\0").decode()
        found = self.certificates.get((name, k))
        if found is None:
            raise NotFound("nothing was signed for this k", code="not_found")
        return found

    def register(self, name: str, registration: ChainRegistration) -> ChainInfo:
        self.registrations.append(registration)
        address = ChainAddress(
            chain_id=int(registration.chain_id, 16), contract=int(registration.contract, 16),
            context=int(registration.opening.context, 16),
        )  # fmt: skip
        self.addresses[name] = str(address)
        return ChainInfo(
            registered=True, address=str(address), context=registration.opening.context,
            block=registration.block, contract=registration.contract, chain_id=registration.chain_id,
        )  # fmt: skip

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The same over HTTP; its URL."""
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(node.get(self.path))

            def do_POST(self) -> None:
                self._answer(node.post(self.path, self._body()))

            def do_PUT(self) -> None:
                self._answer(node.put(self.path, self._body()))

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def _answer(self, answer: tuple[int, Any]) -> None:
                status, body = answer
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def get(self, path: str) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        if parts == ["v1", "contexts"]:
            listed = Contexts(contexts=tuple(self._context(name) for name in self.worlds))
            return 200, listed.model_dump(mode="json")
        name, k = bytes.fromhex(parts[2]).rstrip(b"\0").decode(), int(parts[4].split("?")[0])
        found = self.certificates.get((name, k))
        if found is None:
            return 404, {"code": "not_found", "message": "nothing was signed for this k"}
        return 200, found.model_dump(mode="json")

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        """The founder's node signs an opening; or a voter's, `voter`, a vote about the context's pool."""
        parts = path.strip("/").split("/")
        name = bytes.fromhex(parts[2]).rstrip(b"\0").decode() if len(parts[2]) == 64 else parts[2]
        if parts[-1] in ("veto", "sweep"):
            return 200, self._vote(self.worlds[name], parts[-1], body).model_dump(mode="json")
        request = OpeningRequest.model_validate_json(body)
        world = self.worlds[name]
        if int(request.contract, 16) != world.anchor.contract:
            return 409, {"code": "refused", "message": "another contract"}
        return 200, world.opening().model_dump(mode="json")

    def _vote(self, world: World, about: str, body: bytes) -> PoolVote:
        contract, pool = self.pool
        chain_id, secret = world.anchor.chain_id, world.secrets[self.voter]
        if about == "veto":
            against = VetoRequest.model_validate_json(body)
            root = Subtree(int(against.tree_hash, 16), int(against.sum))
            digest = veto_digest(chain_id, contract, pool, against.k, root)
        else:
            wanted = SweepRequest.model_validate_json(body)
            to, amount, swept = int(wanted.to, 16), int(wanted.amount), int(wanted.swept)
            digest = sweep_digest(chain_id, contract, pool, to, amount, swept)
        r, s = stark.sign(digest, secret)
        return PoolVote(
            contract=hex(contract), pool=hex(pool), voter=hex(stark.public_key(secret)), digest=hex(digest),
            r=hex(r), s=hex(s),
        )  # fmt: skip

    def put(self, path: str, body: bytes) -> tuple[int, Any]:
        name = path.strip("/").split("/")[2]
        return 200, self.register(name, ChainRegistration.model_validate_json(body)).model_dump(mode="json")

    def _context(self, name: str) -> Context:
        world = self.worlds[name]
        return Context(
            id=context_id(name), name=name, application="medsync", policy="any_admin", role="admin",
            members=4, voters=4, quorum=3, epoch=1, operations=world.log.size,
            checkpoint=ContextHead(signed=world.accepted[-1].k), address=self.addresses.get(name),
        )  # fmt: skip


def context_id(name: str) -> str:
    """A context id that can be read."""
    return name.encode().ljust(32, b"\0").hex()
