"""Where a node says it can be reached, as operators write it: no identity in it, and a name instead of an address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from medsync_client.members import InvitationCreate
from tests.node.api_world import make_home, running, until


@pytest.mark.parametrize("host", ["/ip4/127.0.0.1", "/dns4/localhost"])
async def test_an_announced_address_needs_no_identity_to_be_written_and_may_be_a_name(tmp_path: Path, host: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = {"listen": f"/ip4/127.0.0.1/tcp/{port}", "announce": f"{host}/tcp/{port}"}
    async with running(make_home(tmp_path, "north"), where) as north, running(make_home(tmp_path, "lab")) as lab:
        await north.client.create_network("hospitals")
        token = (await north.client.invite(InvitationCreate())).invitation
        assert (await lab.client.join(token)).members == 2

        async def linked() -> bool:
            return any(one["connected"] for one in (await lab.client.status()).peers)

        await until(linked)


async def test_names_are_resolved_when_they_are_dialled() -> None:
    from multiaddr import Multiaddr

    from medsync_node.transport.resolving import resolved
    from medsync_protocol.ports import Unreachable

    number = Multiaddr("/ip4/192.0.2.1/tcp/4404")
    assert await resolved(number) == [number]
    assert Multiaddr("/ip4/127.0.0.1/tcp/4404") in await resolved(Multiaddr("/dns4/localhost/tcp/4404"))
    with pytest.raises(Unreachable, match="no-such-host"):
        await resolved(Multiaddr("/dns/no-such-host.invalid/tcp/1"))
