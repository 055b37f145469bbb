"""Names in addresses to what they stand for now: the transport's TCP dials numbers only."""

from __future__ import annotations

from typing import Final

import trio
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from medsync_protocol.ports import Unreachable

NAMES: Final = {"dns": trio.socket.AF_UNSPEC, "dns4": trio.socket.AF_INET, "dns6": trio.socket.AF_INET6}
MAX_ANSWERS: Final = 4  # numbers tried of one name: hosts with several addresses, not a pool of them
RESOLVE_SECONDS: Final = 10.0  # a resolver that does not answer


async def resolved(address: Multiaddr) -> list[Multiaddr]:
    """The address itself, or one for each number of the name it begins with. Raises Unreachable for an unknown name."""
    protocol, name, rest = (*str(address).split("/", 3)[1:], "")[:3]
    if protocol not in NAMES:
        return [address]
    answers = None
    try:
        with trio.move_on_after(RESOLVE_SECONDS):
            answers = await trio.socket.getaddrinfo(name, None, NAMES[protocol], trio.socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"the name {name} can't be resolved: {error.strerror or error}") from error
    if answers is None:
        raise Unreachable(f"nobody resolved the name {name} within {RESOLVE_SECONDS:.0f} s")
    found: list[Multiaddr] = []
    for family, *_, place in answers[:MAX_ANSWERS]:
        kind = "ip6" if family == trio.socket.AF_INET6 else "ip4"
        try:
            found.append(Multiaddr(f"/{kind}/{place[0]}/{rest}"))
        except (MultiaddrError, ValueError):
            continue  # a scoped IPv6 address, which no multiaddr holds so
    if not found:
        raise Unreachable(f"the name {name} stands for no address that can be dialled")
    return found
