"""`scripts/bench calimero`: calls of `kv_store.set` over JSON-RPC at one of two nodes, and how soon the other agrees.

Two `medsync-merod` processes on loopback, each call signed, sealed, committed (`synchronous` own) and answered. Prints one
JSON object.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from scripts.benchmarks.report import machine

CALLS: Final = 1_000  # at each number of clients
CLIENTS: Final = (1, 8)
ROUNDS: Final = 20  # of one call and the wait until the other node agrees
MEROD: Final = Path(sys.executable).with_name("medsync-merod")
PATIENCE: Final = 60.0


class Merod:
    """One process."""

    def __init__(self, directory: Path, name: str, swarm: int = 0) -> None:
        self._at = [str(MEROD), "--home", str(directory), "--node", name]
        subprocess.run([*self._at, "init", "--server-port", "0", "--swarm-port", str(swarm)], check=True, capture_output=True)
        self.process = subprocess.Popen([*self._at, "run"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "answers as merod" in line:
                self.url = line.split("url=")[1].split()[0]
            if line == "ready\n":
                break
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE)

    def post(self, path: str, body: Any) -> Any:
        """The answer's data."""
        answer = self.client.post(f"/admin-api/{path}", json=body)
        answer.raise_for_status()
        return answer.json()["data"]

    def state(self, context: str) -> str:
        """The state hash."""
        found: str = self.client.get(f"/admin-api/contexts/{context}").json().get("data", {}).get("contextStateHash", "")
        return found

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)


def put_value(client: httpx.Client, context: str, key: str) -> None:
    """One call of `set`."""
    params = {"contextId": context, "method": "set", "argsJson": {"key": key, "value": "x" * 32}}
    answer = client.post("/jsonrpc", json={"jsonrpc": "2.0", "id": 1, "method": "execute", "params": params}).json()
    assert "result" in answer, answer


def _rate(url: str, context: str, clients: int) -> float:
    def write(number: int) -> None:
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            for count in range(CALLS // clients):
                put_value(client, context, f"{number}/{count}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CALLS // clients * clients / (time.perf_counter() - began)


def agree(one: Merod, other: Merod, context: str) -> float:
    """Seconds until both say the same state hash."""
    began = time.perf_counter()
    while one.state(context) != other.state(context):
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError("the nodes don't agree")
    return time.perf_counter() - began


def measured() -> dict[str, Any]:
    """Calls a second by number of clients; milliseconds until the other node's state hash is the same."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        north, south = (Merod(directory, name) for name in ("north", "south"))
        stack.callback(north.stop)
        stack.callback(south.stop)
        application = north.post("install-dev-application", {"path": "kv_store.wasm"})["applicationId"]
        namespace = north.post("namespaces", {"applicationId": application})["namespaceId"]
        context = north.post("contexts", {"applicationId": application, "groupId": namespace})["contextId"]
        invitation = north.post(f"namespaces/{namespace}/invite", {})["invitation"]
        south.post(f"namespaces/{namespace}/join", {"invitation": invitation})
        agree(north, south, context)
        rates = {str(clients): round(_rate(north.url, context, clients)) for clients in CLIENTS}
        burst = agree(north, south, context)
        single = []
        for number in range(ROUNDS):
            put_value(north.client, context, f"round {number}")
            single.append(agree(north, south, context) * 1000)
        return {
            "machine": machine(), "calls": CALLS, "calls_per_second_by_clients": rates,
            "agree_after_burst_ms": round(burst * 1000), "agree_after_one_call_ms": round(statistics.median(single)),
        }  # fmt: skip


def main() -> None:
    """Print it."""
    print(json.dumps(measured(), indent=1))
