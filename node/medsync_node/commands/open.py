"""`medsync open`: a link that signs a person in to the dashboard, once."""

from __future__ import annotations

import webbrowser
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

import typer

from medsync_node.commands.options import Home, Json, examples, node
from medsync_node.commands.output import moment, show

app = typer.Typer()


@app.command(
    "open",
    epilog=examples(
        "open", "open --scope status --scope events", "open --patient trial 51cf…", "open --at https://north.example.org:8404 --json"
    ),
)
def open_dashboard(
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; repeatable, else everything. See `token scopes`.")
    ] = None,
    patient: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="CONTEXT SUBJECT", help="That patient's own page, and no other."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="URL", help="How browsers reach the API, if not as it listens.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Start this machine's browser on it as well.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print a link that signs in to the dashboard once, within ten minutes."""
    from medsync_client.links import LinkCreate, PatientPlace

    place = None if patient is None else PatientPlace(context=patient[0], subject=patient[1])
    with node(home) as client:
        made = client.open_dashboard(LinkCreate(scopes=None if scope is None else tuple(scope), patient=place))
    url = made.url if at is None else _at(at, made.url)
    show(
        {"url": url, "expires": made.expires, "scopes": list(made.scopes)},
        [url, f"good once, until {moment(made.expires)}; who has it can do: {', '.join(made.scopes)}"], as_json=as_json,
    )  # fmt: skip
    if browser:
        webbrowser.open(url)


def _at(base: str, url: str) -> str:
    there, here = urlsplit(base), urlsplit(url)
    if there.scheme not in ("http", "https") or not there.netloc or there.path.strip("/"):
        raise typer.BadParameter("write --at as https://HOST:PORT")
    return urlunsplit((there.scheme, there.netloc, here.path, here.query, ""))
