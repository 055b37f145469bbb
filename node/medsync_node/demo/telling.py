"""Running the demo from a command line: where it lives, what is printed when, Ctrl-C, what is left."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
from rich.console import Console

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.output import progress
from medsync_node.daemon import the_cause
from medsync_node.demo import rendering, story
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.world import Options, World, open_world
from medsync_node.home import Home, write_private
from medsync_protocol.errors import OperatorError


def run(options: Options, *, once: bool, as_json: bool) -> int:
    """The exit code: 0 when every step holds, 1 when one does not, 130 after Ctrl-C before the end."""
    with _directory(options.keep) as directory:
        teller = _Teller(options, directory, once=once, as_json=as_json)
        try:
            trio.run(teller.main)
        except BaseExceptionGroup as group:
            raise the_cause(group) from group
    return teller.code


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """Where homes, chain and bridge live. Raises OperatorError for one that is in use."""
    if keep is None:
        made = Path(tempfile.mkdtemp(prefix="medsync-demo-"))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return
    if keep.exists() and any(keep.iterdir()):
        raise OperatorError(
            f"{keep} is not empty", advice="name a new directory with --keep, or empty this one"
        )
    Home(keep.absolute()).create()
    yield keep.absolute()


class _Teller:
    def __init__(self, options: Options, directory: Path, *, once: bool, as_json: bool) -> None:
        self.options, self.directory, self.once, self.as_json = options, directory, once, as_json
        self.code: int = ExitCode.INTERRUPTED
        self._told = self._stopped = False
        self._console = Console(highlight=False)

    async def main(self) -> None:
        """The story, unless a signal comes first."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._until_told, nursery.cancel_scope)
            async with open_world(
                self.options, self.directory, lasting=self._lasting, progress=progress
            ) as world:
                chapters = await story.tell(world, progress)
                self._told = True
                self.code = ExitCode.OK if all(one.ok for one in chapters) else ExitCode.FAILURE
                self._show(world, chapters)
                if not self.once:
                    progress("everything stays up until Ctrl-C")
                    await trio.sleep_forever()
            nursery.cancel_scope.cancel()

    def _lasting(self) -> bool:
        """Before the story: whether it may outlive us; after it: whether it does."""
        return self.options.keep is not None and self.code in (
            ExitCode.INTERRUPTED,
            ExitCode.OK,
            ExitCode.FAILURE,
        )

    async def _until_told(self, scope: trio.CancelScope, task_status: Any) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            task_status.started()
            async for _ in received:
                progress("stopping …")
                self._stopped = True
                scope.cancel()

    def _show(self, world: World, chapters: list[Chapter]) -> None:
        left = self._left(world)
        if self.as_json:
            sys.stdout.write(json.dumps(rendering.fields(chapters, left)) + "\n")
            sys.stdout.flush()
            return
        for one in chapters:
            rendering.show_chapter(self._console, one)
        rendering.show_table(self._console, chapters)
        rendering.show_left(self._console, left.get("left", {}))

    def _left(self, world: World) -> dict[str, Any]:
        """What stays with --keep, also in its demo.json."""
        if self.options.keep is None:
            return {}
        left = {
            "directory": str(self.directory), "chain": world.chain.url, "chain_pid": world.chain.pid,
            "chain_id": world.chain.chain_id, "account": world.chain.account, "address": world.facts.get("address"),
            "homes": {name: str(place.home) for name, place in world.places.items()},
            "stop": f"kill {world.chain.pid}",
        }  # fmt: skip
        write_private(self.directory / "demo.json", json.dumps(left, indent=2).encode())
        return {"left": left}
