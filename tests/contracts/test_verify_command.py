"""`medsync verify` as it is typed: its output, its exit codes, and what it does not load."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from medsync_node.cli import run
from tests.contracts.anchored import Anchored
from tests.contracts.exported import Records, text, written
from tests.contracts.local_chain import LocalChain
from tests.contracts.test_verify import address_of


@pytest.fixture(scope="module")
def story() -> tuple[Anchored, Records]:
    chain, records = LocalChain(), written()
    anchored = Anchored(stage=chain, contract=chain.deploy("anchor"), genesis=records.context)
    anchored.open()
    records.checkpoint(anchored)
    return anchored, records


@pytest.fixture(scope="module")
def url(story: tuple[Anchored, Records]) -> Iterator[str]:
    """The chain behind a real socket."""
    chain: LocalChain = story[0].stage

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps(chain.ask(asked["method"], asked["params"])).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_auditor_types_one_line(
    story: tuple[Anchored, Records], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchored, records = story
    export = tmp_path / "export.ndjson.gz"
    with gzip.open(export, "wt") as file:
        file.writelines(text(records.lines()))
    address = str(address_of(anchored))
    assert run(["verify", "--rpc", url, "--rpc", url, address, "--export", str(export), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["k"], found["problems"]) == (True, 1, [])
    assert {"signatures", "append_proofs", "nodes_agree", "log_roots", "consent_roots"} <= found[
        "checks"
    ].keys()
    assert found["export"] == {"operations": 4, "entries": 7, "checkpoints": 1}
    assert len(found["transactions"]) == 2


def test_what_does_not_hold_is_exit_code_1(
    story: tuple[Anchored, Records], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchored, records = story
    lines = text(records.lines())
    del lines[2]
    export = tmp_path / "export.ndjson"
    export.write_text("".join(lines))
    assert run(["verify", "--rpc", url, str(address_of(anchored)), "--export", str(export)]) == 1
    printed = capsys.readouterr().out
    assert "FAILED      cuts" in printed
    assert "holds       signatures" in printed


def test_a_damaged_file_is_told(
    story: tuple[Anchored, Records], url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchored, records = story
    export = tmp_path / "export.ndjson.gz"
    export.write_bytes(gzip.compress("".join(text(records.lines())).encode())[:-40])
    assert run(["verify", "--rpc", url, str(address_of(anchored)), "--export", str(export)]) == 1
    assert "can't be read to its end" in capsys.readouterr().out


def test_a_node_that_is_not_there_is_exit_code_4(
    story: tuple[Anchored, Records], capsys: pytest.CaptureFixture[str]
) -> None:
    address = str(address_of(story[0]))
    assert run(["verify", "--rpc", "http://127.0.0.1:1", address, "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["error"]["code"]) == (False, "rpc_unreachable")


def test_a_mistyped_address_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--rpc", "http://127.0.0.1:1", "starknet:SN_MAIN/0x5", "--json"]) == 2
    assert "three parts" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_verifying_loads_neither_node_nor_libp2p_nor_starknet_py() -> None:
    code = (
        "import sys, medsync_node.commands.verify, medsync_node.verify.audit; "
        "print([name for name in sys.modules if name.split('.')[0] in ('libp2p', 'starknet_py', 'sqlite3', 'trio')"
        " or name in ('medsync_protocol.engine', 'medsync_protocol.replica', 'medsync_node.store')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
