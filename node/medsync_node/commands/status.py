"""`medsync status`: what the running node says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from medsync_node.commands.options import Home, Json, examples, node
from medsync_node.commands.output import show, table
from medsync_node.words import column

if TYPE_CHECKING:
    from medsync_client.status import Status

app = typer.Typer()


@app.command(epilog=examples("status", "status --home north --json"))
def status(home: Home = None, as_json: Json = False) -> None:
    """Show identity, links, contexts, checkpoints, and everything that waits or is wrong."""
    with node(home) as client:
        found = client.status()
    show(found, _lines(found), as_json=as_json)


def _lines(found: Status) -> Iterator[str]:
    yield f"{found.name}  member {found.member[:16]}  device {found.device[:16]}  version {found.version}"
    yield f"network {found.network or '- (create one, or join by invitation)'}"
    yield from (f"warning: {warning}" for warning in found.warnings)
    yield from (f"listens on {address}" for address in found.addresses)
    for name, rows in (("contexts", found.contexts), ("peers", found.peers)):
        if rows:
            columns = [key for key, value in rows[0].items() if not isinstance(value, dict | list)]
            shown = ([row.get(key) for key in columns] for row in rows)
            yield from ("", f"{name}:", *table([column(key) for key in columns], shown))
