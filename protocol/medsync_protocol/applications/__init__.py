"""How to write an application for a context: state in, state out, the same at every member (`medsync.applications`).

An application is a class with a `name`, an `abi`, a `fold` for the calls that change something and a `query` for those
that don't. `writing-an-application.md` beside the specification has a worked one.
"""

from medsync_protocol.applications.interface import App, Call, CallFailed, Json, Method, State

__all__ = ["App", "Call", "CallFailed", "Json", "Method", "State"]
