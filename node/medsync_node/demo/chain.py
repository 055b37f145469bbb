"""The demo's chain and bridge: `medsync chain run`, `medsync contract …` and `medsync bridge run` beside the nodes."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import trio

from medsync_node.demo.children import CLI, ONE_PROCESS, Child, ChildFailed, child, start_lasting
from medsync_node.home import write_private
from medsync_protocol.errors import MedSyncError

START_SECONDS: Final = 60.0  # for a chain to say ready on a busy machine
ANCHOR_SECONDS: Final = 120.0  # loading starknet-py and three transactions, on a busy machine
POLL: Final = "0.2"  # seconds between the bridge's looks at a chain on this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The embedded Starknet: where it listens, and one of its funded accounts. Its keys are public: never value there."""

    url: str
    chain_id: str
    account: str
    key_file: Path
    about: dict[str, Any] = field(repr=False)
    pid: int | None = None


    def of_account(self, number: int) -> Chain:
        """The same chain for another of its accounts, whose key is written beside the first one's."""
        account = self.about["accounts"][number]
        key_file = self.key_file.with_name(f"account{number}.key")
        write_private(key_file, str(account["private_key"]).encode())
        return replace(self, account=account["address"], key_file=key_file)


def _described(text: str, directory: Path, pid: int | None = None) -> Chain:
    about = json.loads(text)
    account = about["accounts"][0]
    key_file = directory / "account.key"
    write_private(key_file, str(account["private_key"]).encode())
    return Chain(
        url=about["url"],
        chain_id=about["chain_id"],
        account=account["address"],
        key_file=key_file,
        about=about,
        pid=pid,
    )


@asynccontextmanager
async def open_chain(
    directory: Path, seed: int, *, lasting: Callable[[], bool], hear: Callable[[str], None]
) -> AsyncIterator[Chain]:
    """A chain for the story. One that may last has a file, and goes on after the block when `lasting` says so."""
    command = [*CLI, "chain", "run", "--port", "0", "--seed", str(seed), "--accounts", "3", "--json"]
    if not lasting():
        async with child("the chain", [*command, "--exit-on-eof"], hear) as one:
            with _soon():
                said = await one.line()
            yield _described(said, directory)
        return
    log = directory / "chain.log"
    process, ready = start_lasting([*command, "--db", str(directory / "chain.db")], log)
    stay = False
    try:
        with open(ready, "rb") as pipe, _soon():
            ended = not await trio.to_thread.run_sync(pipe.readline, abandon_on_cancel=True)  # type: ignore[call-arg]  # old stubs
        if ended:
            raise ChildFailed(f"the chain did not start: {log.read_text()[-400:]}", advice=f"see {log}")
        yield _described(_first_object(log.read_text()), directory, process.pid)
        stay = lasting()
    finally:
        if not stay:
            process.terminate()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(process.wait)


@contextmanager
def _soon() -> Iterator[None]:
    """The block within START_SECONDS. Raises ChildFailed."""
    try:
        with trio.fail_after(START_SECONDS):
            yield
    except trio.TooSlowError as error:
        raise ChildFailed(
            f"the chain did not start in {START_SECONDS:.0f} s", advice="run the demo again"
        ) from error


def _first_object(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("{"))


@dataclass(slots=True)
class Bridge:
    """`medsync contract` and `medsync bridge` in one process; what it posted, by k, as it said itself."""

    chain: Chain
    home: Path
    child: Child
    contract: str | None = None
    posted: dict[int, dict[str, Any]] = field(default_factory=dict)
    changed: trio.Event = field(default_factory=trio.Event)

    def _common(self) -> list[str]:
        chain = self.chain
        return ["--rpc", chain.url, "--account", chain.account, "--key", f"file:{chain.key_file}", "--bridge-home", str(self.home), "--json"]  # fmt: skip

    async def do(self, *words: str) -> dict[str, Any]:
        """One command that pays, to its end. Raises ChildFailed with what it said."""
        return await self._run(*words, *self._common(), "--poll", POLL)

    async def look(self, *words: str) -> dict[str, Any]:
        """One command that only reads. Raises ChildFailed with what it said."""
        return await self._run(*words, "--rpc", self.chain.url, "--json")

    async def _run(self, *words: str) -> dict[str, Any]:
        await self.child.tell(json.dumps(words))
        answer: dict[str, Any] = json.loads(await self.child.line())
        code = json.loads(await self.child.line())["exit"]
        if code != 0:
            error = answer.get("error", {})
            raise ChildFailed(
                f"medsync {' '.join(words[:2])}: {error.get('message', answer)}",
                advice=error.get("advice", ""),
            )
        return answer

    async def deploy(self) -> dict[str, Any]:
        """Declare the anchor's class and deploy it."""
        declared = await self.do("contract", "declare")
        deployed = await self.do("contract", "deploy")
        self.contract = str(deployed["contract"])
        return {"class_hash": declared["class_hash"], "contract": self.contract}

    async def register(self, context: str, node: Path) -> dict[str, Any]:
        """Open the context on the contract; its founder's node signs."""
        assert self.contract is not None, "deployed before"
        return await self.do(
            "contract", "register", context, "--contract", self.contract, "--home", str(node)
        )

    async def follow(self, node: Path) -> None:
        """Post every certified checkpoint from now on, until the process is stopped."""
        words = ["bridge", "run", *self._common(), "--poll", POLL, "--home", str(node), "--exit-on-eof"]
        await self.child.tell(json.dumps(words))

    def hear(self, text: str) -> None:
        """A line of its stderr: under --json an object with `event`."""
        try:
            news = json.loads(text)
        except ValueError:
            return
        if isinstance(news, dict) and news.get("event") in ("posted", "adopted"):
            self.posted[int(news["k"])] = news
        changed, self.changed = self.changed, trio.Event()
        changed.set()


@asynccontextmanager
async def open_bridge(
    chain: Chain, directory: Path, hear: Callable[[str], None], name: str = "bridge"
) -> AsyncIterator[Bridge]:
    """The process that deploys, registers and posts; or one of another name, for errands beside it."""
    heard: list[Bridge] = []

    def listen(text: str) -> None:
        hear(text)
        for one in heard:
            one.hear(text)

    home = directory / name
    os.makedirs(home, mode=0o700, exist_ok=True)
    async with child(f"the {name}", ONE_PROCESS, listen) as one:
        bridge = Bridge(chain, home, one)
        heard.append(bridge)
        yield bridge


class Anchoring:
    """What goes on beside the story: deploy the contract, open the context there, let the bridge follow its node."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._founded, self._ended = trio.Event(), trio.Event()
        self.context, self.node = "", Path()
        self._deployed: dict[str, Any] = {}
        self._problem: MedSyncError | OSError | trio.BrokenResourceError | None = None

    def begin(self, context: str, node: Path) -> None:
        """The context is founded, by the node of this home."""
        self.context, self.node = context, node
        self._founded.set()

    async def run(self) -> None:
        """To its end; what goes wrong is told to who asks for the end."""
        try:
            self._deployed = await self._bridge.deploy()
            await self._founded.wait()
            registered = await self._bridge.register(self.context, self.node)
            self._deployed["registered"] = registered["transaction"]
            await self._bridge.follow(self.node)
        except (MedSyncError, OSError, trio.BrokenResourceError) as error:
            self._problem = error
        self._ended.set()

    async def done(self, seconds: float) -> dict[str, Any]:
        """What was deployed, once the context is open. Raises ChildFailed."""
        with trio.move_on_after(seconds):
            await self._ended.wait()
        if self._problem is not None or not self._ended.is_set():
            problem = self._problem or f"not done in {seconds:.0f} s"
            raise ChildFailed(
                f"the context was not opened on the contract: {problem}", advice="run the demo again"
            )
        return self._deployed
