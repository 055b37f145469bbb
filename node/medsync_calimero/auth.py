"""Embedded authentication: users with passwords, signed tokens that end, permission strings; who may call what.

In proxy mode nothing is asked for, and the server listens on loopback only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import trio

from medsync_calimero.answers import Answered
from medsync_protocol.crypto import derive

if TYPE_CHECKING:
    from medsync_calimero.book import Book

ACCESS_SECONDS: Final = 3600
REFRESH_SECONDS: Final = 30 * 24 * 3600
MAX_PASSWORD: Final = 1024  # characters
_COST: Final = {"n": 2**14, "r": 8, "p": 1}  # of scrypt: 16 MiB and some 50 ms a guess
_SHAPE: Final = re.compile(r"([a-z]+(?::[a-z-]+)*)(?:\[([^\[\]]*)\])?")

NEEDED: Final = (
    ("/admin-api/install", "application:install"), ("/admin-api/applications", "application"), ("/admin-api/blobs", "blob"),
    ("/admin-api/contexts", "context"), ("/admin-api/identity", "context"), ("/admin-api/alias", "alias"),
    ("/admin-api/namespaces", "namespace"), ("/admin-api/groups", "namespace"), ("/admin-api", "node"),
    ("/sse", "context:subscribe"), ("/ws", "context:subscribe"),
)  # fmt: skip
"""(beginning of a path, permission that its calls need); `admin` permits all, `context` all that begins so."""
OPEN: Final = frozenset({"/admin-api/health", "/admin-api/ready", "/admin-api/is-authed", "/openapi.json"})


class Auth:
    """See the module. `now` in seconds since 1970 UTC; `admin`: (user, password) of the first administrator."""

    def __init__(self, book: Book, key: bytes, now: Callable[[], int], admin: tuple[str, str] | None) -> None:
        self._book, self._key, self._now = book, derive(key, "calimero tokens"), now
        if admin is not None and self._book.get("users", admin[0]) is None:
            self.add_user(*admin, ["admin"])

    def add_user(self, name: str, password: str, permissions: list[str]) -> None:
        """Keep a user, the password as its hash."""
        salt = secrets.token_bytes(16)
        row = {"salt": salt.hex(), "hash": _hashed(password, salt).hex(), "permissions": permissions}
        self._book.put("users", name, row)

    # -- tokens -----------------------------------------------------------------------------------------------

    async def log_in(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Tokens for a user and password; with fewer permissions where `permissions` asks for these. Raises Answered."""
        given = body.get("provider_data")
        if body.get("auth_method") != "user_password" or not isinstance(given, dict):
            raise Answered(400, "the authentication method is user_password, with provider_data {username, password}")
        name, password = str(given.get("username")), str(given.get("password"))[:MAX_PASSWORD]
        if not self._book.section("users"):
            raise Answered(403, "nobody can log in yet: start the node with MERO_AUTH_ADMIN_USER and MERO_AUTH_ADMIN_PASSWORD")
        row = self._book.get("users", name)
        salt = bytes(16) if row is None else bytes.fromhex(row["salt"])
        given_hash = await trio.to_thread.run_sync(_hashed, password, salt)
        same = hmac.compare_digest(given_hash, bytes(64) if row is None else bytes.fromhex(row["hash"]))
        if row is None or not same:
            raise Answered(401, "the user name or the password is wrong")
        asked = body.get("permissions") or row["permissions"]
        if not isinstance(asked, list) or not all(isinstance(one, str) and _SHAPE.fullmatch(one) for one in asked):
            raise Answered(400, "permissions are texts such as context:execute[CONTEXT,IDENTITY,METHOD]")
        if not all(any(covers(held, one) for held in row["permissions"]) for one in asked):
            raise Answered(403, "this user does not hold the permissions that it asks for")
        return self._pair(name, asked)

    def refresh(self, body: Mapping[str, Any]) -> dict[str, str]:
        """New tokens for a refresh token. Raises Answered 401."""
        claims = self._claims(str(body.get("refresh_token", "")), "refresh")
        return self._pair(claims["sub"], claims["permissions"])

    def _pair(self, name: str, permissions: list[str]) -> dict[str, str]:
        return {
            "access_token": self._signed(name, permissions, "access", ACCESS_SECONDS),
            "refresh_token": self._signed(name, permissions, "refresh", REFRESH_SECONDS),
        }

    def _signed(self, name: str, permissions: list[str], kind: str, seconds: int) -> str:
        claims = {"sub": name, "permissions": permissions, "kind": kind, "exp": self._now() + seconds, "jti": secrets.token_hex(8)}
        text = ".".join(_b64(json.dumps(part, separators=(",", ":")).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{text}.{_b64(self._mac(text))}"

    def _mac(self, text: str) -> bytes:
        return hmac.new(self._key, text.encode(), hashlib.sha256).digest()

    def _claims(self, token: str, kind: str) -> dict[str, Any]:
        text, _, mac = token.rpartition(".")
        if not hmac.compare_digest(mac, _b64(self._mac(text))):
            raise Answered(401, "this needs a token of this node: POST /auth/token gives one")
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
        if claims["kind"] != kind or claims["exp"] <= self._now() or self._book.get("users", claims["sub"]) is None:
            raise Answered(401, "the token has ended: POST /auth/refresh gives a new one")
        return claims

    # -- permissions ------------------------------------------------------------------------------------------

    def permissions(self, token: str) -> list[str]:
        """Of an access token. Raises Answered 401."""
        found: list[str] = self._claims(token, "access")["permissions"]
        return found

    def require(self, token: str | None, needed: str) -> None:
        """Raises Answered 401 without a valid token, 403 without the permission."""
        if token is None:
            raise Answered(401, "this needs a token: POST /auth/token gives one")
        if not any(covers(held, needed) for held in self.permissions(token)):
            raise Answered(403, f"this token lacks the permission {needed}")


def needed_for(path: str) -> str | None:
    """The permission that calling a path needs; None: none. JSON-RPC is asked call by call."""
    if path in OPEN or path.startswith("/auth/") or path == "/jsonrpc":
        return None
    return next((permission for start, permission in NEEDED if path.startswith(start)), "admin")


def covers(held: str, needed: str) -> bool:
    """Whether a permission string contains another: `admin` all, `context` all of contexts, an empty or `*` part any."""
    ours, theirs = _SHAPE.fullmatch(held), _SHAPE.fullmatch(needed)
    if ours is None or theirs is None:
        return False
    if held == "admin":
        return True
    if theirs[1] != ours[1] and not theirs[1].startswith(f"{ours[1]}:"):
        return False
    if ours[2] is None:
        return True
    bounds, parts = ours[2].split(","), (theirs[2] or "").split(",")
    parts += [""] * (len(bounds) - len(parts))
    return all(bound.strip() in ("", "*", part.strip()) for bound, part in zip(bounds, parts, strict=False))


def _hashed(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, **_COST)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
