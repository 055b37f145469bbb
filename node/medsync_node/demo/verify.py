"""Step 7, `verify`: everything again from chain data and an export, by a program that holds nothing of the nodes."""

from __future__ import annotations

import json

from medsync_node.demo.chapter import Chapter
from medsync_node.demo.children import run_once
from medsync_node.demo.world import AUDITOR, FOUNDER, World


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    await world.until(
        AUDITOR, lambda: _accepted(world, AUDITOR) == _accepted(world, FOUNDER), "all checkpoints"
    )
    export = world.directory / "export.ndjson"
    lines = []
    async with world[AUDITOR].client.export(world.facts["context"]) as stream:
        async for line in stream:
            lines.append(line)
    export.write_text("".join(f"{line}\n" for line in lines))
    words = ("verify", world.facts["address"], "--rpc", world.chain.url, "--export", str(export))
    code, found = await run_once(*words)
    for name, holds in found.get("checks", {}).items():
        chapter.check(name, holds)
    chapter.check("the_program_says_all_holds", code == 0 and found.get("ok") is True)
    chapter.show(
        **{name: found.get(name) for name in ("k", "digest", "block", "transactions", "export", "problems")},
        export_lines=len(lines),
    )
    spoilt = world.directory / "spoilt.ndjson"
    spoilt.write_text("".join(f"{line}\n" for line in spoil(lines)))
    code, found = await run_once(*words[:-1], str(spoilt))
    chapter.check("one_bent_byte_in_the_export_is_found", code != 0 and found.get("ok") is False)
    chapter.show(spoilt_export=found.get("problems", [])[:3])
    if world.options.keep is None:
        export.unlink()
        spoilt.unlink()


def _accepted(world: World, name: str) -> int:
    return world[name].node.engine.checkpoints(world.context).accepted


def spoil(lines: list[str]) -> list[str]:
    """One digit of one operation is another."""
    for number, line in enumerate(lines):
        fields = json.loads(line)
        wire = fields.get("wire")
        if isinstance(wire, str) and number > len(lines) // 2:
            at = len(wire) // 2
            fields["wire"] = wire[:at] + ("0" if wire[at] != "0" else "1") + wire[at + 1 :]
            return [*lines[:number], json.dumps(fields), *lines[number + 1 :]]
    return lines
