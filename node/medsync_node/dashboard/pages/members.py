"""Members of the network, and inviting one: the invitation as text and as a QR code."""

from __future__ import annotations

from typing import Final

import segno
from starlette.responses import Response

from medsync_client import contexts, members
from medsync_client.errors import BadRequest
from medsync_client.members import InvitationCreate
from medsync_client.wire import RoleName
from medsync_node.dashboard.pages.membership import done
from medsync_node.dashboard.pages.overview import place
from medsync_node.dashboard.visit import Visit

ROLES: Final[dict[str, RoleName]] = {"member": "member", "reader": "reader", "admin": "admin"}
DAYS: Final = (1, 7, 30)  # how long an invitation may be good for, as offered
QUIET: Final = 4  # modules around a QR code (ISO/IEC 18004)


async def list_members(visit: Visit) -> Response:
    """Who belongs, with which role, and who is linked now."""
    return await _shown(visit, None)


async def invite(visit: Visit) -> Response:
    """A new invitation, shown this once."""
    role, days = visit.form.get("role", ""), visit.form.get("days", "")
    if role not in ROLES or days not in map(str, DAYS):
        raise BadRequest("there is no such role or time", code="invitation", advice="choose from the lists")
    body = InvitationCreate(role=ROLES[role], seconds=int(days) * 86_400)
    return await _shown(visit, await visit.ask(members.invite(body)))


async def _shown(visit: Visit, made: members.Invitation | None) -> Response:
    code = None if made is None else segno.make_qr(made.invitation, error="m")
    squares = [] if code is None else [
        (x + QUIET, y + QUIET) for y, row in enumerate(code.matrix) for x, dark in enumerate(row) if dark
    ]  # fmt: skip
    call, listed = members.invite(InvitationCreate()), (await visit.ask(contexts.contexts())).contexts
    network = await visit.ask_if_allowed(members.network())
    removal = members.remove_member("-")
    return visit.show(
        "members.html", network=network, places=[(one, place(one, listed)) for one in listed], done=done(visit),
        found=(await visit.ask(members.members())).members, made=made, squares=squares, days=DAYS,
        side=0 if code is None else len(code.matrix) + 2 * QUIET, roles=tuple(ROLES),
        may_invite=visit.may(call.method, call.path),
        may_change=network is not None and network.role is not None and visit.may(removal.method, removal.path),
    )  # fmt: skip


PAGES: Final = (("GET", "/members", list_members), ("POST", "/members", invite))
