"""How the API is served: socket and TCP, who gets in, how much a body may hold, what an error looks like."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request

from medsync_client import Address, Client, NotFound, Unauthorised, Unreachable
from medsync_node.api import problems
from medsync_node.api.guards import MAX_BATCH_BODY, MAX_BODY, LimitBody
from medsync_node.api.server import CannotServe, Served, serving
from medsync_node.api.streaming import Stream
from medsync_node.config import ApiConfig
from medsync_protocol.errors import (
    DiskFull,
    KeyFileLocked,
    Malformed,
    MedSyncError,
    NotPermitted,
    Refused,
    UnknownSubject,
)
from medsync_protocol import ports

PATIENCE = 20.0  # seconds until a fact that does not come fails the test
TOKEN = "medsync-0123456789abcdef"

FAILURES: dict[str, tuple[MedSyncError, int, str]] = {
    "refused": (Refused("no", code="has_network", advice="use another"), 409, "has_network"),
    "form": (Refused("no", code="empty_list", advice="name one"), 422, "empty_list"),
    "context": (Refused("no", code="unknown_context", advice="list"), 404, "unknown_context"),
    "forbidden": (NotPermitted("no", code="not_custodian", advice="ask one"), 403, "not_custodian"),
    "subject": (UnknownSubject("no", code="unknown_subject", advice="enrol"), 404, "unknown_subject"),
    "malformed": (Malformed("no"), 422, "malformed"),
    "disk": (DiskFull("full", advice="free space"), 503, "disk_full"),
    "locked": (KeyFileLocked("locked", advice="try again"), 503, "key_file_locked"),
    "peer": (ports.Unreachable("nobody there"), 503, "unreachable"),
}


class Thing(BaseModel):
    size: int


def make_app() -> LimitBody:
    app = FastAPI()
    problems.install(app)

    @app.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.post("/size:batch")
    async def batch_size(request: Request) -> int:
        return len(await request.body())

    @app.post("/thing")
    async def thing(body: Thing) -> int:
        return body.size

    @app.get("/fail/{name}")
    async def fail(name: str) -> None:
        raise FAILURES[name][0]

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("patient 4711")

    @app.get("/healthz")
    async def health() -> bool:
        return True

    return LimitBody(app)


@asynccontextmanager
async def served(directory: Path, listen: tuple[str, int] | None = None) -> AsyncIterator[Served]:
    config = ApiConfig(socket=directory / "api.sock", token_file=directory / "token", listen=listen)
    async with serving(make_app(), config, token=TOKEN, stopping=trio.Event()) as where:
        yield where


def local(where: Served) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(where.socket))
    return httpx.AsyncClient(transport=transport, base_url="http://node", trust_env=False)


async def test_the_socket_is_for_its_owner_and_goes_with_the_server(tmp_path: Path) -> None:
    async with served(tmp_path) as where:
        assert stat.S_IMODE(where.socket.stat().st_mode) == 0o600
        async with local(where) as client:
            assert (await client.get("/healthz")).json() is True
    assert not where.socket.exists()


async def test_tcp_wants_the_token_but_health_does_not(tmp_path: Path) -> None:
    async with (
        served(tmp_path, ("127.0.0.1", 0)) as where,
        httpx.AsyncClient(base_url=str(where.url), trust_env=False) as client,
    ):
        refused = await client.post("/size", content=b"x")
        assert refused.status_code == 401 and refused.json()["code"] == "unauthorised"
        assert refused.headers["www-authenticate"] == "Bearer"
        wrong = await client.post("/size", content=b"x", headers={"Authorization": f"Bearer {TOKEN}x"})
        assert wrong.status_code == 401
        right = await client.post("/size", content=b"x", headers={"Authorization": f"Bearer {TOKEN}"})
        assert right.json() == 1
        assert (await client.get("/healthz")).status_code == 200


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private_key = directory / "tls.cert", directory / "tls.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private_key.write_bytes(text)
    return certificate, private_key


async def test_tls_is_served_and_checked_by_the_client(tmp_path: Path) -> None:
    certificate, private_key = self_signed(tmp_path)
    config = ApiConfig(
        socket=tmp_path / "api.sock", token_file=tmp_path / "token", listen=("127.0.0.1", 0),
        certificate=certificate, private_key=private_key,
    )  # fmt: skip
    async with serving(make_app(), config, token=TOKEN, stopping=trio.Event()) as where:
        assert where.url is not None and where.url.startswith("https://127.0.0.1:")
        known = Address(url=where.url, token=TOKEN, authority=certificate)
        async with Client(known) as client:
            with pytest.raises(
                NotFound
            ) as caught:  # reached, past the token: there is no such route in this app
                await client.status()
            assert caught.value.code == "no_such_path"
        async with Client(Address(url=where.url, token=TOKEN)) as stranger:
            with pytest.raises(Unreachable):
                await stranger.status()
    (tmp_path / "tls.key").write_text("no key")
    with pytest.raises(CannotServe, match="certificate and key"):
        async with serving(make_app(), config, token=TOKEN, stopping=trio.Event()):
            raise AssertionError("it must not serve")


async def test_with_an_authority_for_clients_only_their_certificates_come_in(tmp_path: Path) -> None:
    for name in ("node", "ehr", "stranger"):
        (tmp_path / name).mkdir()
    certificate, private_key = self_signed(tmp_path / "node")
    ehr, stranger = self_signed(tmp_path / "ehr"), self_signed(tmp_path / "stranger")
    config = ApiConfig(
        socket=tmp_path / "api.sock", token_file=tmp_path / "token", listen=("127.0.0.1", 0),
        certificate=certificate, private_key=private_key, client_authority=ehr[0],
    )  # fmt: skip
    async with serving(make_app(), config, token=TOKEN, stopping=trio.Event()) as where:
        async with Client(Address(url=where.url, token=TOKEN, authority=certificate, certificate=ehr)) as client:
            with pytest.raises(NotFound):  # reached: there is no such route in this app
                await client.status()
        for own in (None, stranger):
            async with Client(Address(url=where.url, token=TOKEN, authority=certificate, certificate=own)) as client:
                with pytest.raises(Unreachable):
                    await client.status()
        async with Client(Address(url=where.url, token="x", authority=certificate, certificate=ehr)) as client:
            with pytest.raises(Unauthorised):  # a certificate is no token
                await client.status()
    ehr[0].write_text("no certificate")
    with pytest.raises(CannotServe, match="client_authority"):
        async with serving(make_app(), config, token=TOKEN, stopping=trio.Event()):
            raise AssertionError("it must not serve")


async def test_a_body_beyond_the_limit_is_refused_and_a_batch_may_be_larger(tmp_path: Path) -> None:
    async with served(tmp_path) as where, local(where) as client:
        assert (await client.post("/size", content=b"x" * MAX_BODY)).json() == MAX_BODY
        refused = await client.post("/size", content=b"x" * (MAX_BODY + 1))
        assert refused.status_code == 413 and refused.json()["code"] == "body_too_large"
        assert (await client.post("/size:batch", content=b"x" * MAX_BATCH_BODY)).json() == MAX_BATCH_BODY

        async def unannounced() -> AsyncIterator[bytes]:
            for _ in range(MAX_BODY // 65536 + 1):
                yield b"x" * 65536

        assert (await client.post("/size", content=unannounced())).status_code == 413
        assert (await client.post("/size", content=b"x")).json() == 1


@pytest.mark.parametrize("name", FAILURES)
async def test_an_error_has_the_status_that_says_whose_fault_it_is(tmp_path: Path, name: str) -> None:
    error, status, code = FAILURES[name]
    async with served(tmp_path) as where, local(where) as client:
        answer = await client.get(f"/fail/{name}")
    assert answer.status_code == status
    assert answer.json() == {"code": code, "message": str(error), "advice": getattr(error, "advice", "")}


async def test_a_body_that_cannot_be_read_names_the_field_and_not_its_value(tmp_path: Path) -> None:
    async with served(tmp_path) as where, local(where) as client:
        answer = await client.post("/thing", json={"size": "patient 4711"})
        assert answer.status_code == 422
        assert answer.json()["code"] == "invalid_request" and answer.json()["message"].startswith("size:")
        assert "4711" not in answer.text
        assert (await client.post("/thing", content=b"{")).json()["code"] == "invalid_request"
        assert (await client.get("/nowhere")).json()["code"] == "no_such_path"


async def test_a_bug_is_answered_without_its_text_and_ends_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as where, local(where) as client:
        answer = await client.get("/bug")
        assert answer.status_code == 500 and answer.json()["code"] == "internal"
        assert "4711" not in answer.text
        assert (await client.get("/healthz")).status_code == 200


async def test_a_port_in_use_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with served(tmp_path / "a", ("127.0.0.1", 0)) as where:
        port = int(str(where.url).rsplit(":", 1)[1])
        with pytest.raises(CannotServe) as caught:
            async with served(tmp_path / "b", ("127.0.0.1", port)):
                raise AssertionError("it must not serve")
    assert f"127.0.0.1:{port}" in str(caught.value) and "api.listen" in caught.value.advice
    assert not (tmp_path / "b" / "api.sock").exists()


async def test_a_socket_left_behind_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    async with served(tmp_path):
        with pytest.raises(CannotServe, match="another process"):
            async with served(tmp_path):
                raise AssertionError("it must not serve")
        left = tmp_path / "left.sock"
        (tmp_path / "api.sock").rename(left)
    left.rename(tmp_path / "api.sock")
    async with served(tmp_path) as where, local(where) as client:
        assert (await client.get("/healthz")).status_code == 200


POST = b"POST /size HTTP/1.1\r\nHost: node\r\n"
HOSTILE = (
    b"\x00" * 200, b"\xff" * 200, b"\x16\x03\x01\x02\x00",
    b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n" * 50,
    POST + b"Content-Length: 100\r\n\r\nabc",
    POST + b"Content-Length: -5\r\n\r\n",
    POST + b"Content-Length: 99999999999\r\n\r\n" + b"x" * 70_000,
    POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xaa" * 100,
    b"GET /healthz HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: node\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: node\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: node\r\n\r\n",
)  # fmt: skip


async def attack(where: Served, data: bytes, ending: str) -> None:
    """Send it, then half-close, reset, or read what comes."""
    stream = await trio.open_unix_socket(str(where.socket))
    async with stream:
        try:
            await stream.send_all(data)
            if ending == "half-close":
                await stream.send_eof()
            if ending != "reset":
                with trio.move_on_after(0.05):
                    await stream.receive_some(1024)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


@pytest.mark.parametrize("ending", ["half-close", "reset", "read"])
async def test_no_bytes_of_a_caller_end_the_server(tmp_path: Path, ending: str) -> None:
    async with served(tmp_path) as where, local(where) as client:
        for data in HOSTILE * 3:
            await attack(where, data, ending)
            assert (await client.get("/healthz")).json() is True


async def test_one_bad_connection_is_contained_whatever_it_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: object) -> None:
        raise trio.BusyResourceError("another task is currently sending data on this SocketStream")

    async with served(tmp_path) as where:
        with monkeypatch.context() as patch:
            patch.setattr("hypercorn.trio.tcp_server.TCPServer.run", fails)
            await attack(where, b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n", "read")
        async with local(where) as client:
            assert (await client.get("/healthz")).json() is True


async def test_a_stream_ends_with_its_listener_and_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "medsync_node.api.server.GRACE_SECONDS", 1e6
    )  # so that only an open connection can end late
    stopping, ended = trio.Event(), trio.Event()

    async def ticks() -> AsyncIterator[str]:
        try:
            yield "tick\n"
            await stopping.wait()
            yield "tock\n"
        finally:
            ended.set()

    app = FastAPI()

    @app.get("/ticks")
    async def stream() -> Stream:
        return Stream(ticks())

    config = ApiConfig(socket=tmp_path / "api.sock", token_file=tmp_path / "token")
    with trio.fail_after(PATIENCE):
        client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(config.socket)), base_url="http://node", timeout=None
        )
        async with (
            client,
            trio.open_nursery() as nursery,
            serving(app, config, token=None, stopping=stopping),
        ):
            async with client.stream("GET", "/ticks") as early:
                assert await anext(early.aiter_text()) == "tick\n"
            await ended.wait()  # the first listener left

            async def listen(task_status: Any) -> None:
                async with client.stream("GET", "/ticks") as late:
                    lines = late.aiter_lines()
                    assert await anext(lines) == "tick"
                    task_status.started()
                    assert [line async for line in lines] == ["tock"]

            await nursery.start(listen)
