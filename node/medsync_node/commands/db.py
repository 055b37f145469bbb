"""`medsync db`: whether the journal is whole, and giving back the room it doesn't need."""

from __future__ import annotations

import typer

from medsync_node.commands.options import Home, Json, examples, home_of
from medsync_node.commands.output import progress, show

app = typer.Typer(no_args_is_help=True, help="Check and compact the journal.")


@app.command(epilog=examples("db check", "db check --home north --json"))
def check(home: Home = None, as_json: Json = False) -> None:
    """Read every row against its checksum, beside the running daemon or without; exit code 1 when it is damaged."""
    from medsync_node.doctor.journal import check_rows
    from medsync_node.home import Home as HomeFiles
    from medsync_protocol.errors import OperatorError

    files = HomeFiles(home_of(home))
    files.require()
    if not files.journal_file.exists():
        raise OperatorError("this home has no journal yet", advice="start the daemon once: `medsync run`")
    progress("reading …")
    count = check_rows(files.journal_file)
    size = files.journal_file.stat().st_size
    show({"operations": count, "bytes": size}, [f"whole: {count} operations, {size >> 10} KiB"], as_json=as_json)


@app.command(epilog=examples("db compact", "db compact --home north --json"))
def compact(home: Home = None, as_json: Json = False) -> None:
    """Rewrite the journal without the room it doesn't need. Stop the daemon first."""
    from medsync_node.compacting import compact as rewrite
    from medsync_node.home import Home as HomeFiles

    before, after = rewrite(HomeFiles(home_of(home)))
    fields = {"before_bytes": before, "after_bytes": after}
    show(fields, [f"{before >> 10} KiB became {after >> 10} KiB"], as_json=as_json)
