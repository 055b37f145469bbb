"""`medsync token`: tokens for programs and people that use the API over TCP: scoped, expiring, revocable."""

from __future__ import annotations

import re
import time
from typing import Annotated, Final

import typer

from medsync_node.commands.options import Home, Json, examples, home_of
from medsync_node.commands.output import moment, show, table

app = typer.Typer(no_args_is_help=True, help="Issue, list and revoke tokens for the API over TCP.")

_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@app.command(
    epilog=examples(
        "token create prometheus --scope metrics --expires 365d",
        "token create ehr --scope consent:read --scope consent:write --scope access:request --rate 200 --json",
    )
)
def create(
    name: Annotated[str, typer.Argument(help="Which program or person it is for.")],
    scope: Annotated[list[str], typer.Option(help="What it may do; repeatable. See `token scopes`.")],
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it is valid: 12h, 90d; 10m, 30s.")] = "90d",
    rate: Annotated[int, typer.Option(help="Requests a second.")] = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Issue a token and print it, this once: only its hash is kept. A running daemon takes it at once."""
    from medsync_node.home import Home as HomeFiles
    from medsync_node.token_book import TokenBook

    found = re.fullmatch(r"([1-9]\d{0,4})([smhd])", expires)
    if found is None:
        raise typer.BadParameter(f"{expires!r} is no time: write 12h or 90d; m and s for minutes and seconds")
    files = HomeFiles(home_of(home))
    files.require()
    now = time.time_ns() // 1_000_000
    made, text = TokenBook(files.tokens_file).issue(now, name, scope, now + int(found[1]) * _UNITS[found[2]], rate)
    fields = {"id": made.id, "name": name, "token": text, "scopes": list(made.scopes), "expires": made.expires, "rate": rate}
    show(fields, [text, f"id {made.id}, until {moment(made.expires)}. It is not shown again."], as_json=as_json)


@app.command("list", epilog=examples("token list", "token list --json"))
def list_tokens(home: Home = None, as_json: Json = False) -> None:
    """List issued tokens, never their text."""
    from medsync_node.home import Home as HomeFiles
    from medsync_node.token_book import TokenBook

    files = HomeFiles(home_of(home))
    files.require()
    now = time.time_ns() // 1_000_000
    held = TokenBook(files.tokens_file).all()
    state = {one.id: "revoked" if one.revoked is not None else "valid" if one.valid(now) else "expired" for one in held}
    rows = [[one.id, one.name, state[one.id], moment(one.expires), one.rate, ",".join(one.scopes)] for one in held]
    fields = [
        {"id": one.id, "name": one.name, "state": state[one.id], "expires": one.expires, "rate": one.rate, "scopes": list(one.scopes)}
        for one in held
    ]  # fmt: skip
    show({"tokens": fields}, table(["id", "name", "state", "until", "rate", "scopes"], rows), as_json=as_json)


@app.command(epilog=examples("token revoke prometheus", "token revoke 1f2e3d4c --json"))
def revoke(
    named: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id or name.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """End a token; the daemon's next request knows."""
    from medsync_node.home import Home as HomeFiles
    from medsync_node.token_book import TokenBook

    files = HomeFiles(home_of(home))
    files.require()
    ended = TokenBook(files.tokens_file).revoke(time.time_ns() // 1_000_000, named)
    show({"id": ended.id, "name": ended.name, "revoked": ended.revoked}, [f"{ended.name} ({ended.id}) is revoked"], as_json=as_json)


@app.command(epilog=examples("token scopes", "token scopes --json"))
def scopes(as_json: Json = False) -> None:
    """List the scopes and what each allows."""
    from medsync_node.api.scopes import SCOPES

    show({"scopes": dict(SCOPES)}, table(["scope", "allows"], SCOPES.items()), as_json=as_json)
