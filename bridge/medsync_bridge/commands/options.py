"""Options that the bridge's commands share, and the settings they make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from medsync_bridge.settings import DEFAULT_FEE_CAP, DEFAULT_POLL, FRI, Settings

if TYPE_CHECKING:
    from medsync_client import Address

HOME_VARIABLE: Final = "MEDSYNC_BRIDGE_HOME"
DEFAULT_HOME: Final = "~/.medsync-bridge"
NODE_VARIABLE: Final = "MEDSYNC_HOME"
DEFAULT_NODE: Final = "~/.medsync"
TOKEN_VARIABLE: Final = "MEDSYNC_TOKEN"

BridgeHome = Annotated[
    Path | None,
    typer.Option(
        "--bridge-home", metavar="DIR", help=f"The bridge's own directory; else ${HOME_VARIABLE}, else {DEFAULT_HOME}."
    ),
]
Home = Annotated[
    list[str] | None,
    typer.Option(
        "--home", "--node",
        metavar="DIR|URL",
        help=f"The node's home, as everywhere, or its URL with its token in ${TOKEN_VARIABLE}; "
        f"else ${NODE_VARIABLE}, else {DEFAULT_NODE}. Its former name is --node.",
    ),
]  # fmt: skip
Rpc = Annotated[
    str, typer.Option("--rpc", metavar="URL", envvar="MEDSYNC_RPC", help="A Starknet node's JSON-RPC.")
]
Account = Annotated[
    str, typer.Option("--account", metavar="ADDRESS", envvar="MEDSYNC_ACCOUNT", help="The account that pays.")
]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="env:NAME|file:PATH",
        envvar="MEDSYNC_ACCOUNT_KEY",
        help="Where the account's secret is, in hex.",
    ),
]
FeeCap = Annotated[
    float, typer.Option("--fee-cap", metavar="STRK", min=0, help="The most one transaction may cost.")
]
Tip = Annotated[
    int,
    typer.Option("--tip", metavar="FRI", min=0, help="Offered on top, per unit of L2 gas, to begin with."),
]
Poll = Annotated[
    float,
    typer.Option("--poll", metavar="SECONDS", min=0.01, help="Time between two looks at chain and node."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object on stdout; progress goes to stderr.")
]
FEE_CAP: Final = DEFAULT_FEE_CAP
POLL: Final = DEFAULT_POLL


def bridge_home_of(given: Path | None) -> Path:
    """The bridge's directory, absolute."""
    return (given or Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME)).expanduser().absolute()


def node_of(given: list[str] | None) -> Address:
    """The node's API: a URL, or the home of a node on this machine. Raises BadParameter for more than one.

    Who still means the bridge's directory by --home, beside --node, is told instead of being given another directory.
    """
    from medsync_client import Address

    if given is not None and len(given) > 1:
        raise typer.BadParameter("--home is the node's home, and so is --node: give one. The bridge's own directory is --bridge-home")
    where = (given or [""])[0] or os.environ.get(NODE_VARIABLE) or DEFAULT_NODE
    if where.startswith(("http://", "https://")):
        return Address(url=where, token=os.environ.get(TOKEN_VARIABLE))
    return Address.of_home(Path(where).expanduser().absolute())


def felt(text: str, what: str) -> int:
    """A number in hex. Raises BadParameter."""
    try:
        value = int(text, 16)
    except ValueError as error:
        raise typer.BadParameter(f"{what} is a number in hex, as 0x1f") from error
    if value <= 0:
        raise typer.BadParameter(f"{what} is greater than 0")
    return value


def settings_of(
    *, bridge_home: Path | None, rpc: str, account: str, key: str, fee_cap: float, tip: int, poll: float
) -> Settings:
    """The options, parsed. Raises BadParameter."""
    return Settings(
        home=bridge_home_of(bridge_home), rpc=rpc, account=felt(account, "--account"), key=key, fee_cap=int(fee_cap * FRI),
        tip=tip, poll=poll,
    )  # fmt: skip


def examples(*lines: str) -> str:
    """The Examples of a `--help`."""
    return "\n\n".join(["Examples:", *(f"  medsync {line}" for line in lines)])
