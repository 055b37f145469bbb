"""`medsync doctor` finds each planted misconfiguration, says what to do, and finds nothing where nothing is wrong."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from medsync_client.contexts import ContextCreate
from medsync_node import cli
from medsync_node.authorship import KeyFileForeign
from medsync_node.doctor.examination import Diagnosis, examine
from medsync_node.home import Home, write_private
from medsync_node.store import Store
from medsync_protocol.anchor_abi import CLASS_HASH
from medsync_protocol.anchoring import Anchoring, Opening
from medsync_protocol.codec import pack
from medsync_protocol.ids import NETWORK_CONTEXT, OpId
from medsync_protocol.journal import ValueRecord
from medsync_protocol.transition import MIN_RECOVERY_DELAY, Anchor
from tests.node.api_world import PASSPHRASE, make_home, running
from tests.node.store_records import CONTEXT, op

HOUR_MS = 3_600_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home in which nothing is wrong."""
    monkeypatch.setenv("DOCTOR_PASSPHRASE", PASSPHRASE)
    made = make_home(tmp_path, "north")
    write_private(made.config_file, b'listen = ["/ip4/127.0.0.1/tcp/0"]\npassphrase_from = "env:DOCTOR_PASSPHRASE"\n')
    with Store(made.journal_file, storage_key=bytes(32)) as store:
        store.commit([op(seq, of=1) for seq in range(3)], durable=True)
    return made


def configure(home: Home, text: str) -> None:
    write_private(home.config_file, home.config_file.read_bytes() + text.encode())


def diagnosis(home: Home, **how: Any) -> Diagnosis:
    return examine(home, os.environ, **how)


def test_nothing_is_found_in_a_home_in_which_nothing_is_wrong(home: Home) -> None:
    found = diagnosis(home)
    assert found.findings == () and not found.running
    assert set(found.skipped) == {"running daemon"}


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@contextmanager
def answering(body: dict[str, Callable[[], object]]) -> Iterator[str]:
    """An HTTP server that answers JSON-RPC methods so; where it knows none at all, with a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known, answer = body.get(asked["method"]), {"jsonrpc": "2.0", "id": 1}
            nothing = json.dumps({**answer, "error": {"code": 20, "message": "Contract not found"}})
            text = json.dumps({**answer, "result": known()}) if known else nothing if body else "<html>hello</html>"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Plant = Callable[[Home], Any]
"""Does something wrong; may return a context manager that holds while the doctor looks."""


def certificate(home: Home, *, days: int, other_key: bool = False) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "north")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    made = x509.CertificateBuilder(name, name, keys[0].public_key(), 1, start, end).sign(keys[0], hashes.SHA256())
    write_private(home.path / "tls.pem", made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(home.path / "tls.key", keys[other_key].private_bytes(*form))
    configure(home, '[api]\nlisten = "127.0.0.1:0"\ncertificate = "tls.pem"\nprivate_key = "tls.key"\n')


def spoil_a_row(home: Home) -> None:
    with closing(sqlite3.connect(home.journal_file, isolation_level=None)) as journal:
        journal.execute("UPDATE ops SET body = x'00' WHERE seq = 1")


def schema_from_the_future(home: Home) -> None:
    with closing(sqlite3.connect(home.journal_file, isolation_level=None)) as journal:
        journal.execute("PRAGMA user_version = 99")


def written_by_another(home: Home) -> None:
    with Store(home.journal_file, storage_key=bytes(32)) as store:
        store.commit([op(0, own=True)], durable=True)


def unreachable_peer(home: Home) -> None:
    with taken_port() as port:
        pass  # and now nobody listens there
    with Store(home.journal_file, storage_key=bytes(32)) as store:
        record = ValueRecord("address", NETWORK_CONTEXT, bytes(32), pack([f"/ip4/127.0.0.1/tcp/{port}"]))
        store.commit([record], durable=True)


@contextmanager
def listener_in_the_way(home: Home) -> Iterator[None]:
    with taken_port() as port:
        write_private(home.config_file, f'listen = ["/ip4/127.0.0.1/tcp/{port}"]\n'.encode())
        yield


@contextmanager
def api_port_in_the_way(home: Home) -> Iterator[None]:
    with taken_port() as port:
        configure(home, f'[api]\nlisten = "127.0.0.1:{port}"\n')
        yield


@contextmanager
def no_starknet(home: Home) -> Iterator[None]:
    with answering({}) as url:
        configure(home, f'[chain]\nrpc = "{url}"\n')
        yield


@contextmanager
def clock_behind_the_chain(home: Home) -> Iterator[None]:
    import time

    late = {"timestamp": int(time.time()) + 3600}
    with answering({"starknet_chainId": lambda: "0x1", "starknet_getBlockWithTxHashes": lambda: late}) as url:
        configure(home, f'[chain]\nrpc = "{url}"\n')
        yield


@contextmanager
def held_by_a_process_that_does_not_answer(home: Home) -> Iterator[None]:
    with home.locked():
        yield


def client_authority_of_words(home: Home) -> None:
    certificate(home, days=90)
    write_private(home.path / "clients.pem", b"trust me")
    configure(home, 'client_authority = "clients.pem"\n')


def passphrase_that_others_may_read(home: Home, mode: int = 0o644) -> None:
    secret = home.path.with_name("passphrase")
    secret.write_text(PASSPHRASE + "\n")
    secret.chmod(mode)
    text = home.config_file.read_text().replace("env:DOCTOR_PASSPHRASE", f"file:{secret}")
    write_private(home.config_file, text.encode())


OPENING = Opening(
    anchor=Anchor(chain_id=0x1, contract=0x77), founder=5, genesis=OpId(bytes(32)), members=(7,), verifier=0,
    recovery_delay=MIN_RECOVERY_DELAY, r=1, s=1,
)  # fmt: skip


def anchored(home: Home, rpc: str) -> None:
    """A context of this home is anchored, and `chain.rpc` is this one."""
    record = ValueRecord("anchor", CONTEXT, b"", Anchoring(opening=OPENING, block=3).encode())
    with Store(home.journal_file, storage_key=bytes(32)) as store:
        store.commit([record], durable=True)
    configure(home, f'[chain]\nrpc = "{rpc}"\n')


def a_chain_without_the_contract(home: Home) -> Any:
    return another_chain(home, {})


def a_contract_without_the_opening(home: Home) -> Any:
    return another_chain(home, {"starknet_getClassHashAt": lambda: hex(CLASS_HASH), "starknet_call": lambda: ["0x0"]})


def a_contract_of_another_class(home: Home) -> Any:
    return another_chain(home, {"starknet_getClassHashAt": lambda: "0x5"})


@contextmanager
def another_chain(home: Home, more: dict[str, Callable[[], object]]) -> Iterator[None]:
    """Of the same name as ours."""
    with answering({**STARKNET, **more}) as url:
        anchored(home, url)
        yield


STARKNET: dict[str, Callable[[], object]] = {
    "starknet_chainId": lambda: "0x1", "starknet_blockNumber": lambda: 9,
    "starknet_getBlockWithTxHashes": lambda: {"timestamp": 1_700_000_000},
}  # fmt: skip

PLANTED: dict[str, tuple[str, str, Plant]] = {
    "a home that others may enter": ("file_mode", "north", lambda home: home.path.chmod(0o755)),
    "a key file that others may read": ("file_mode", "key.json", lambda home: home.key_file.chmod(0o644)),
    "a passphrase that others may read": ("file_mode", "passphrase (mode 0644)", passphrase_that_others_may_read),
    "a chain of the same name without our contract": ("anchor", "no contract stands at", a_chain_without_the_contract),
    "a contract that doesn't have our context": ("anchor", "does not have its opening", a_contract_without_the_opening),
    "a contract of another class": ("anchor", "not of the released", a_contract_of_another_class),
    "a misspelt setting": ("config", "did you mean chain.rpc", lambda home: configure(home, '[chain]\nrcp = "x"\n')),
    "a setting without meaning": ("config", "log.level", lambda home: configure(home, '[log]\nlevel = "loud"\n')),
    "a key file that is gone from a home in use": ("key_file", "key export", lambda home: home.key_file.unlink()),
    "a damaged key file": ("key_file", "damaged", lambda home: write_private(home.key_file, b"{}")),
    "another home's key file": ("key_file_foreign", "journal was written by", written_by_another),
    "a row that lost its bytes": ("journal_damaged", "checksum", spoil_a_row),
    "a journal of a newer program": ("version_skew", "schema version 99", schema_from_the_future),
    "a port that is taken": ("port", "can't be listened on", listener_in_the_way),
    "an API port that is taken": ("port", "api.listen", api_port_in_the_way),
    "a chain RPC that is not there": ("chain", "does not answer", lambda home: configure(home, '[chain]\nrpc = "http://127.0.0.1:1"\n')),
    "a chain RPC that is no Starknet node": ("chain", "not as a Starknet node", no_starknet),
    "a clock behind the chain's": ("clock", "newest block", clock_behind_the_chain),
    "members that can't be reached": ("peer", "none of the 1", unreachable_peer),
    "a certificate that has ended": ("tls_expiry", "ended 3 days ago", lambda home: certificate(home, days=-3)),
    "a certificate for another key": ("tls", "together", lambda home: certificate(home, days=90, other_key=True)),
    "an authority for clients that is no certificate": ("tls", "api.client_authority", client_authority_of_words),
    "a daemon that hangs": ("daemon_silent", "doesn't answer", held_by_a_process_that_does_not_answer),
}  # fmt: skip


def test_at_least_twelve_misconfigurations_of_ten_kinds_are_planted() -> None:
    assert len(PLANTED) >= 12 and len({code for code, _, _ in PLANTED.values()}) >= 10


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_misconfiguration_is_found_with_advice(home: Home, what: str) -> None:
    code, words, plant = PLANTED[what]
    held = plant(home)
    if hasattr(held, "__enter__"):
        with held:
            found = diagnosis(home)
    else:
        found = diagnosis(home)
    told = [f"{one.what} {one.advice}" for one in found.findings if one.code == code]
    assert any(words in text for text in told), found
    assert all(one.advice for one in found.findings)
    assert len(found.findings) == 1, found  # nothing else is blamed


@pytest.mark.parametrize("given", ["", "some other horse"])
def test_a_wrong_or_missing_passphrase_is_found(home: Home, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCTOR_PASSPHRASE", given)
    assert [one.code for one in diagnosis(home).findings] == ["passphrase"]


def test_a_disk_with_too_little_room_is_found(home: Home) -> None:
    assert [one.code for one in diagnosis(home, least_free=1 << 60).findings] == ["disk_space"]


async def test_a_clock_behind_what_was_written_is_found_and_under_anothers_key_file_nothing_starts(tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    async with running(home) as north:
        await north.client.create_network("hospitals")
    (early,) = [one for one in diagnosis(home, now=1).findings if one.code == "clock"]
    assert "after this machine's time" in early.what
    assert not [one for one in diagnosis(home).findings if one.code == "clock"]

    shutil.copy(make_home(tmp_path, "south").key_file, home.key_file)
    with pytest.raises(KeyFileForeign, match="written by"):
        async with running(home):
            raise AssertionError("it must not start and write as south")


def test_an_anchored_context_that_stands_there_is_no_finding_and_without_an_rpc_is_said_to_be_unchecked(home: Home) -> None:
    digest = OPENING.anchor.digest(OPENING.statement)
    known = {**STARKNET, "starknet_getClassHashAt": lambda: hex(CLASS_HASH), "starknet_call": lambda: [hex(digest)]}
    before = home.config_file.read_bytes()
    with answering(known) as url:
        anchored(home, url)
        found = diagnosis(home)
        assert found.findings == () and "anchors on the chain" in found.checked
    unreached = diagnosis(home)
    assert [one.code for one in unreached.findings] == ["chain"]
    assert unreached.skipped["anchors on the chain"] == "127.0.0.1 does not answer"
    write_private(home.config_file, before)
    assert diagnosis(home).skipped["anchors on the chain"] == "no chain.rpc is set"


def test_files_of_another_owner_are_one_finding(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    passphrase_that_others_may_read(home, 0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    inside, outside = [one for one in diagnosis(home).findings if one.code == "file_owner"] + [None] * (os.getuid() == 0)
    assert inside is not None and "journal.db" in inside.what and "key.json" in inside.what and "4711" in inside.what
    assert outside is None or outside.what.startswith("passphrase "), "root may own what the settings name elsewhere"


def test_one_wrong_setting_hides_neither_another_nor_what_the_others_allow_to_check(home: Home) -> None:
    configure(
        home,
        'announce = ["/ip4/127.0.0.1/tcp/99999"]\n[api]\nlisten = "0.0.0.0:0"\ncertificate = "tls.pem"\nprivate_key = "tls.key"\n'
        '[chain]\nrpc = "http://127.0.0.1:1"\n',
    )
    found = diagnosis(home)
    told = [f"{one.code} {one.what}" for one in found.findings]
    assert len(told) == 4 and "99999" not in str(found.skipped), told
    assert "announce" in told[0] and "tls.pem does not exist" in told[1] and "tls.key does not exist" in told[2]
    assert "does not answer" in told[3]
    write_private(home.config_file, home.config_file.read_bytes().replace(b'certificate = "tls.pem"\nprivate_key = "tls.key"\n', b""))
    again = [f"{one.code} {one.what}" for one in diagnosis(home).findings]
    assert len(again) == 3 and "announce" in again[0] and "loopback" in again[1] and "does not answer" in again[2]
    configure(home, "depth = -1\n")
    write_private(home.config_file, home.config_file.read_bytes().replace(b'"http://127.0.0.1:1"', b'"ftp://x"'))
    last = diagnosis(home)
    assert len([one for one in last.findings if one.code == "config"]) == 4
    assert last.skipped["chain RPC"] == "chain.rpc can't be used" and "ports" in last.checked


def test_every_wrong_setting_is_told_not_only_the_first(home: Home) -> None:
    configure(home, 'listn = []\n[log]\nlevel = "loud"\nformt = "text"\n')
    told = " ".join(one.what + one.advice for one in diagnosis(home).findings)
    assert "did you mean listen" in told and "log.level" in told and "did you mean log.format" in told


async def test_with_the_daemon_up_its_links_and_choices_are_examined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import trio

    home = make_home(tmp_path, "north")
    async with running(home, {"chain.rpc": "http://127.0.0.1:1"}) as north:
        await north.client.create_network("hospitals")
        await north.client.create_context(ContextCreate(name="trial"))
        chain = ((await north.client.status()).model_extra or {})["chain"]
        assert (chain["rpc"], chain["read_at"], chain["trouble"]) == ("127.0.0.1", None, ""), "nothing to read is no reading"
        found = await trio.to_thread.run_sync(lambda: examine(home, {}))
        assert found.running and found.skipped == {} and found.findings == (), "a context without a chain is a choice"
        assert [one.code for one in found.notices] == ["not_anchored"] and "bridge run" in found.notices[0].advice
        assert await trio.to_thread.run_sync(lambda: cli.run(["doctor", "--home", str(home.path)])) == 0
        assert "notice, not_anchored: " in capsys.readouterr().out


def test_the_command_exits_1_on_a_finding_and_prints_one_object(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["doctor", "--home", str(home.path), "--json"]
    assert cli.run(arguments) == 0 and json.loads(capsys.readouterr().out)["ok"] is True
    home.key_file.chmod(0o640)
    assert cli.run(arguments) == 1
    (one,) = json.loads(capsys.readouterr().out)["findings"]
    assert one["code"] == "file_mode" and "chmod 600" in one["advice"]
    assert cli.run(arguments[:-1]) == 1 and "1 finding" in capsys.readouterr().out
