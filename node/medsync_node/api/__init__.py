"""The HTTP API of a node: routes by noun over the engine, errors as problems, one socket and optionally TCP.

`make_app` builds it for a running node; `serving` serves it. What the messages say is `medsync_client`'s.
"""

from __future__ import annotations

from medsync_node.api.app import make_app
from medsync_node.api.server import Served, serving

__all__ = ["Served", "make_app", "serving"]
