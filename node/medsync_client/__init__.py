"""Typed client of a node's HTTP API, for trio and blocking code; the CLI, the bridge and the tests use it."""

from medsync_client.address import Address
from medsync_client.blocking import BlockingClient
from medsync_client.client import Client
from medsync_client.errors import (
    BadRequest,
    ClientError,
    Denied,
    NodeFault,
    NotFound,
    Refused,
    Unauthorised,
    Unreachable,
)

__all__ = [
    "Address",
    "BadRequest",
    "BlockingClient",
    "Client",
    "ClientError",
    "Denied",
    "NodeFault",
    "NotFound",
    "Refused",
    "Unauthorised",
    "Unreachable",
]
