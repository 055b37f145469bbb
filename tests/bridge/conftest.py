"""Live chains, once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bridge.chains import LiveChain, chain_of


@pytest.fixture(scope="session", params=["embedded", "rpc", "devnet"])
def live(request: pytest.FixtureRequest) -> Iterator[LiveChain]:
    """Each chain that can be had here."""
    with chain_of(request.param) as chain:
        yield chain
