"""`medsync-merod` as a command: a node made once, its settings, its faults in words; `medsync run --calimero` beside `medsync status`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from medsync_calimero import merod_config
from medsync_calimero.compat import SPOKEN
from tests.node.api_world import LOOPBACK, PASSPHRASE, make_home

BIN = Path(sys.executable).parent


def merod(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "medsync-merod"), "--home", str(directory), "--node", "n", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_node_is_made_once_and_keeps_what_it_does_not_know(tmp_path: Path) -> None:
    assert merod(tmp_path, "--version").stdout.startswith(f"merod {SPOKEN}")
    assert merod(tmp_path, "init", "--server-port", "2601", "--swarm-port", "2602").returncode == 0
    home = tmp_path / "n" / "medsync"
    key = (home / "key.json").read_bytes()
    assert home.stat().st_mode & 0o777 == 0o700 and (home / "passphrase").stat().st_mode & 0o777 == 0o600
    again = merod(tmp_path, "init")
    assert again.returncode == 0 and "nothing was changed" in again.stdout and (home / "key.json").read_bytes() == key
    assert merod(tmp_path, "config", "discovery.mdns=true", "server.auth_mode=embedded", "strange.key=[1, 2]").returncode == 0
    content = tomllib.loads((tmp_path / "n" / "config.toml").read_text())
    assert content["strange"] == {"key": [1, 2]} and merod_config.meant(content).auth_mode == "embedded"
    assert merod_config.meant(content).listen == ("127.0.0.1", 2601)
    wrong = merod(tmp_path, "config", "server.auth_mode=open")
    assert wrong.returncode == 1 and "proxy, embedded" in wrong.stderr and "Traceback" not in wrong.stderr
    lost = merod(tmp_path / "elsewhere", "run")
    assert lost.returncode == 1 and "init" in lost.stderr


@pytest.mark.parametrize("change", ["nothing", "=1", "server.listen.deep=1", "server.listen=[]", "swarm.listen=[\"/ip4/1.2.3.4/udp/1/quic\"]"])
def test_a_change_without_meaning_is_refused(change: str) -> None:
    content = merod_config.fresh(("127.0.0.1", 1), ("127.0.0.1", 2), "proxy", [])
    with pytest.raises(merod_config.BadMerodConfig):
        merod_config.meant(merod_config.changed(content, change))


def test_a_normal_node_answers_as_merod_too_and_status_sees_its_contexts(tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    environment = {**os.environ, "NODE_PASSPHRASE": PASSPHRASE}
    command = [str(BIN / "medsync"), "run", "--home", str(home.path), "--listen", LOOPBACK, "--passphrase-from", "env:NODE_PASSPHRASE"]
    process = subprocess.Popen([*command, "--calimero", "0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line == "ready\n":
                break
        url = next(line.split("url=")[1].split()[0] for line in said if "answers as merod" in line)
        with httpx.Client(base_url=f"{url}/admin-api", timeout=30) as client:
            application = client.post("/install-dev-application", json={"path": "kv_store.wasm"}).json()["data"]["applicationId"]
            namespace = client.post("/namespaces", json={"applicationId": application}).json()["data"]["namespaceId"]
        listed = subprocess.run([str(BIN / "medsync"), "context", "list", "--home", str(home.path), "--json"], capture_output=True, text=True, timeout=60)
        assert namespace in {context["id"] for context in json.loads(listed.stdout)["contexts"]}
    finally:
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.long
def test_a_paused_node_answers_nobody_and_then_goes_on(tmp_path: Path) -> None:
    assert "does not run" in merod(tmp_path, "init", "--server-port", "0", "--swarm-port", "0").stderr + merod(tmp_path, "pause").stderr
    command = [str(BIN / "medsync-merod"), "--home", str(tmp_path), "--node", "n", "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        said = list(iter(process.stdout.readline, "ready\n"))
        url = next(line.split("url=")[1].split()[0] for line in said if "answers as merod" in line)
        assert merod(tmp_path, "pause").returncode == 0
        assert Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T"
        assert merod(tmp_path, "resume").returncode == 0
        assert httpx.get(f"{url}/admin-api/health", timeout=30).json() == {"data": {"status": "alive"}}
    finally:
        process.terminate()
        assert process.wait(30) == 0
        assert process.stdout is not None
        process.stdout.close()
