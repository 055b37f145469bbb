"""Who is signed in: one-time links, sessions, what each may do. Held in memory: a new start of the node ends all of them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from medsync_node.token_book import TokenBook
from medsync_protocol.errors import OperatorError, Refused

if TYPE_CHECKING:
    from medsync_node.node import Node

LINK_MS: Final = 10 * 60_000  # long enough to copy a link into a browser
SESSION_MS: Final = 8 * 3_600_000  # a shift
IDLE_MS: Final = 60 * 60_000  # a screen that was left alone
MAX_LINKS: Final = 100  # not yet used ones of one node: links are made by hand
MAX_SESSIONS: Final = 500  # of one node: people, not programs
_BYTES: Final = 32

PATIENT_SCOPES: Final = frozenset({"status", "consent:read", "consent:write", "access:read"})
"""What a patient's session needs; its pages use them for that one subject and nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What somebody may do. `patient` (context id, pseudonym): only that subject's own page. `token`: id of what it rests on."""

    scopes: frozenset[str]
    patient: tuple[str, str] | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody signed in. `csrf` stands in each of his forms; times in ms."""

    grant: Grant
    csrf: str
    ends: int
    seen: int
    digest: str = field(repr=False)

    def valid(self, now: int) -> bool:
        """Neither over nor left alone."""
        return now < self.ends and now - self.seen < IDLE_MS


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


class Sessions:
    """Links and sessions of one node. `in_force` says whether a token is neither revoked nor over."""

    def __init__(self, in_force: Callable[[str], bool]) -> None:
        self._in_force = in_force
        self._links: dict[str, tuple[Grant, int]] = {}
        self._held: dict[str, Session] = {}

    def link(self, now: int, grant: Grant) -> str:
        """A new code that signs in once. Raises Refused when too many wait to be used."""
        self._links = {digest: one for digest, one in self._links.items() if now < one[1]}
        if len(self._links) >= MAX_LINKS:
            raise Refused(
                f"{MAX_LINKS} links wait to be used", code="too_many_links", advice="use one, or wait ten minutes"
            )
        code = secrets.token_urlsafe(_BYTES)
        self._links[_digest(code)] = grant, now + LINK_MS
        return code

    def enter(self, now: int, code: str) -> tuple[Session, str] | None:
        """The session that a code opens, and what its cookie holds; None for one that was used, is over or unknown."""
        found = self._links.pop(_digest(code), None)
        if found is None or now >= found[1] or not self._stands(found[0]):
            return None
        self._held = {digest: one for digest, one in self._held.items() if one.valid(now)}
        if len(self._held) >= MAX_SESSIONS:
            oldest = min(self._held.values(), key=lambda one: one.seen)
            del self._held[oldest.digest]
        cookie = secrets.token_urlsafe(_BYTES)
        session = Session(
            grant=found[0], csrf=secrets.token_urlsafe(_BYTES), ends=now + SESSION_MS, seen=now, digest=_digest(cookie)
        )
        self._held[session.digest] = session
        return session, cookie

    def find(self, now: int, cookie: str, *, used: bool = True) -> Session | None:
        """The session of a cookie. Being asked for counts as use, unless it was the page itself that asked."""
        digest = _digest(cookie)
        found = self._held.get(digest)
        if found is None or not hmac.compare_digest(found.digest, digest):
            return None
        if not found.valid(now) or not self._stands(found.grant):
            del self._held[digest]
            return None
        if used:
            self._held[digest] = found = replace(found, seen=now)
        return found

    def stands(self, now: int, session: Session) -> bool:
        """Whether it is still in force; asking does not count as using it."""
        held = self._held.get(session.digest)
        return held is not None and held.valid(now) and self._stands(held.grant)

    def end(self, session: Session) -> None:
        """Sign out."""
        self._held.pop(session.digest, None)

    def _stands(self, grant: Grant) -> bool:
        return grant.token is None or self._in_force(grant.token)


@dataclass(slots=True)
class Door:
    """How people come in: sessions and links, and once the API is served, its `url` (None: not over TCP)."""

    sessions: Sessions
    url: str | None = None

    @staticmethod
    def of(node: Node) -> Door:
        """The door of a node: what rests on a token of its home ends with that token."""
        book = None if node.home is None else TokenBook(node.home.tokens_file)

        def in_force(token: str) -> bool:
            try:
                return book is not None and any(one.id == token and one.valid(node.now()) for one in book.all())
            except OperatorError:
                return False  # a book that can't be read vouches for nobody

        return Door(Sessions(in_force))
