"""Calls about the node itself: health, identity, peers, applications, aliases."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from medsync_calimero.answers import Answered
from medsync_calimero.asking import Asked, text_in
from medsync_calimero.encodings import b58, from_b58
from medsync_calimero.groups import MEDSYNC, Groups, application_id

if TYPE_CHECKING:
    from medsync_calimero.book import Book
    from medsync_protocol.applications import App

UNKNOWN: Final = (
    "WASM is not run here: a file is mapped by its stem, a package by its name, to a Python application of the "
    "entry-point group medsync.applications"
)


class HomeCalls:
    """See the module. `apps`: what this node can run in groups."""

    def __init__(self, groups: Groups, book: Book, apps: dict[str, App]) -> None:
        self._groups, self._book, self._apps = groups, book, apps

    async def health(self, asked: Asked) -> Any:
        """Alive."""
        return {"status": "alive"}

    async def ready(self, asked: Asked) -> Any:
        """Ready."""
        return {"status": "ok"}

    is_authed = ready

    async def identity(self, asked: Asked) -> Any:
        """The node's member and device."""
        who = self._groups.node.identity
        key = b58(who.member)
        return {"accountId": who.member.hex(), "deviceId": who.device.hex(), "publicKey": key, "accountRootPublicKey": key}

    async def peers(self, asked: Asked) -> Any:
        """Linked devices."""
        return {"count": len(self._groups.node.transport.linked())}

    async def new_identity(self, asked: Asked) -> Any:
        """There is one identity per node: the member's."""
        return {"publicKey": b58(self._groups.me)}

    # -- applications -----------------------------------------------------------------------------------------

    def application_named(self, id_: object) -> str:
        """The name of an installed application by its id. Raises Answered 404."""
        wanted = from_b58(str(id_), "an application id")
        for name in self._book.section("applications"):
            if application_id(name) == wanted:
                return name
        raise Answered(404, f"no application {id_} is installed here")

    async def install_dev(self, asked: Asked) -> Any:
        """Map a file to an application of ours."""
        path = text_in(asked.body["path"], "path", longest=4096)
        return self._install(PurePath(path).stem, path, asked)

    async def install(self, asked: Asked) -> Any:
        """Map a package, or a URL's last part, to an application of ours."""
        url, package = asked.body.get("url"), asked.body.get("package")
        if package is None and url is None:
            raise Answered(400, "missing field `package` or `url`")
        name = package.rpartition(".")[2] if isinstance(package, str) else PurePath(str(url)).stem
        return self._install(name, str(url or package), asked)

    def _install(self, name: str, source: str, asked: Asked) -> Any:
        if name not in self._apps and name != MEDSYNC:
            raise Answered(400, f"unknown application {name!r}: {UNKNOWN}. There are {', '.join(sorted([*self._apps, MEDSYNC]))}")
        about = {"source": source, "package": asked.body.get("package"), "version": asked.body.get("version")}
        self._book.put("applications", name, about)
        return {"applicationId": b58(application_id(name))}

    def _row(self, name: str, about: dict[str, Any]) -> dict[str, Any]:
        id_ = b58(application_id(name))
        return {
            "id": id_, "blob": {"bytecode": id_, "compiled": id_}, "size": 0, "source": about["source"], "metadata": [],
            "package": about.get("package") or name, "version": about.get("version") or "0.0.0",
        }  # fmt: skip

    async def applications(self, asked: Asked) -> Any:
        """Installed ones."""
        return {"apps": [self._row(name, about) for name, about in sorted(self._book.section("applications").items())]}

    async def application(self, asked: Asked) -> Any:
        """One of them, or null."""
        try:
            name = self.application_named(asked.path["application"])
        except Answered as error:
            if error.status == 404:
                return {"application": None}
            raise
        return {"application": self._row(name, self._book.get("applications", name))}

    async def uninstall(self, asked: Asked) -> Any:
        """Forget one; contexts that run it stay."""
        name = self.application_named(asked.path["application"])
        self._book.put("applications", name, None)
        return {"applicationId": asked.path["application"]}

    # -- aliases ----------------------------------------------------------------------------------------------

    async def create_alias(self, asked: Asked) -> Any:
        """A name of this node's for a context."""
        alias = text_in(asked.body["alias"], "an alias", longest=64)
        if self._book.get("aliases", alias) is not None:
            raise Answered(409, "there is such an alias already")
        from_b58(str(asked.body["contextId"]), "a context id")
        self._book.put("aliases", alias, asked.body["contextId"])

    async def lookup_alias(self, asked: Asked) -> Any:
        """What it stands for, or null."""
        return {"value": self._book.get("aliases", asked.path["alias"])}

    async def delete_alias(self, asked: Asked) -> Any:
        """Forget it."""
        self._book.put("aliases", asked.path["alias"], None)

    async def list_aliases(self, asked: Asked) -> Any:
        """All."""
        return self._book.section("aliases")
