"""What can fold a context on this node: the record of consents, notes, and groups of what others wrote (`medsync.applications`).

An entry point of that group names a class that derives from `medsync_protocol.applications.App`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from medsync_protocol.applications import App
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.decision import settings_of
from medsync_protocol.errors import OperatorError
from medsync_protocol.group import GroupApplication
from medsync_protocol.notes import NotesApplication
from medsync_protocol.replica import ApplicationFactory

GROUP: Final = "medsync.applications"

APPLICATIONS: Final[Mapping[str, ApplicationFactory]] = {
    "medsync": lambda network, context, genesis: MedSyncApplication(
        network, context, settings_of(dict(genesis.settings))
    ),
    "notes": lambda network, context, genesis: NotesApplication(),
    "group": lambda network, context, genesis: GroupApplication(installed_apps()),
}
"""By the name in a context's genesis."""


class BadApplication(OperatorError):
    """A package offers an application that can't be one."""


def installed_apps() -> dict[str, App]:
    """What instances in groups can run, by name. Raises BadApplication with advice."""
    return {app.name: app for app in (app_of(point) for point in sorted(entry_points(group=GROUP), key=lambda p: p.name))}


def app_of(point: EntryPoint) -> App:
    """What an entry point offers. Raises BadApplication."""
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise BadApplication(
            f"the application {point.name!r} can't be loaded: {error}",
            advice=f"mend or uninstall the package with the entry point {point.value}",
        ) from error
    if not isinstance(kind, type) or not issubclass(kind, App) or not kind.name or not kind.abi:
        raise BadApplication(
            f"{point.value} is no application", advice="derive a class with a `name` and an `abi` from medsync_protocol.applications.App"
        )
    return kind()


def loaded_app(value: str) -> App:
    """The application at `module:Class`, installed or not. Raises BadApplication."""
    return app_of(EntryPoint(name=value, value=value, group=GROUP))
