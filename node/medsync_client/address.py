"""Where a node's API is: a unix socket in its home, or an HTTP address with a bearer token."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

API_SOCKET: Final = "api.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One of `socket` and `url` is set. `token` goes with `url`; a socket's own permissions guard it.

    `authority`: a PEM file with whom to believe for an https `url`; else the system's list. `certificate`: the
    caller's own and its key, as PEM files, where the API asks for one.
    """

    socket: Path | None = None
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    authority: Path | None = None
    certificate: tuple[Path, Path] | None = None

    @staticmethod
    def of_home(home: Path) -> Address:
        """The socket of the daemon that runs on this home."""
        return Address(socket=home / API_SOCKET)

    @property
    def base_url(self) -> str:
        """What request paths are appended to."""
        return self.url.rstrip("/") if self.url is not None else "http://node"

    @property
    def headers(self) -> dict[str, str]:
        """The bearer token, where there is one."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """How TLS is checked: always."""
        if self.authority is None and self.certificate is None:
            return True
        context = ssl.create_default_context(cafile=None if self.authority is None else str(self.authority))
        if self.certificate is not None:
            context.load_cert_chain(*self.certificate)
        return context

    def __str__(self) -> str:
        return str(self.socket) if self.socket is not None else self.base_url
