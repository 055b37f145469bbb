"""Whether this node's ports can be listened on, its TLS files work together, and other members can be reached."""

from __future__ import annotations

import os
import socket
import sqlite3
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from medsync_node.doctor.finding import Examined, Finding, Findings
from medsync_node.doctor.journal import reading
from medsync_node.words import UNLINKED
from medsync_protocol.codec import unpack
from medsync_protocol.errors import Malformed
from medsync_protocol.frames import want_addresses

DIAL_SECONDS: Final = 3.0  # for one TCP connection: a member on another continent answers in half a second
MAX_DIALLED: Final = 32  # peers tried while the daemon is down: the rest would only take longer
_EXPIRY_DAYS: Final = 30  # before a certificate ends: time to get another
_FAMILIES: Final = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6}


def check_ports(examined: Examined) -> Findings:
    """Daemon down: everything it would listen on can be. Daemon up: it answers on its socket and listens."""
    config, status = examined.config, examined.status
    if examined.running:
        if status is None:
            yield Finding(
                code="daemon_silent", what="a daemon holds this home and doesn't answer on its socket",
                advice="it may still be starting; else read its log, stop it (SIGTERM), and start it again",
            )  # fmt: skip
        elif not status.addresses:
            yield Finding(
                code="not_listening", what="the daemon listens on no address for other members",
                advice="see its log; `medsync config set listen …`, then start it again",
            )  # fmt: skip
        return
    if config is None:
        return
    wanted = [(address.split("/"), "listen") for address in config.listen]
    places = [(_FAMILIES.get(a[1]), a[2], int(a[4]), name) for a, name in wanted]
    if config.api.listen is not None:
        host, port = config.api.listen
        places.append((socket.AF_INET6 if ":" in host else socket.AF_INET, host, port, "api.listen"))
    for family, host, port, name in places:
        why = None if family is None else _cannot_bind(family, host, port)
        if why is not None:
            yield Finding(
                code="port", what=f"{name}: port {port} of {host} can't be listened on: {why}",
                advice=f"stop what listens there (ss -ltnp), or `medsync config set {name} …`",
            )  # fmt: skip


def _cannot_bind(family: socket.AddressFamily, host: str, port: int) -> str | None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error.strerror or str(error)
    return None


def check_tls(examined: Examined) -> Findings:
    """The API's certificate and key belong together, and the certificate is valid for a month yet."""
    api = None if examined.config is None else examined.config.api
    if api is None or api.certificate is None or api.private_key is None:
        return
    named = {"api.certificate": api.certificate, "api.private_key": api.private_key, "api.client_authority": api.client_authority}
    missing = {name: path for name, path in named.items() if path is not None and not os.access(path, os.R_OK)}
    for name, path in missing.items():
        why = "can't be read by this user" if os.path.lexists(path) else "does not exist"
        yield Finding(
            code="tls", what=f"{name}: {path} {why}",
            advice=f"put the PEM file there, readable for the daemon's user, or `medsync config set {name} …`; else the API doesn't start",
        )  # fmt: skip
    if missing:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(api.certificate, api.private_key)
        ends = _not_after(api.certificate)
    except (OSError, ValueError) as error:
        yield Finding(
            code="tls", what=f"api.certificate and api.private_key can't be used together: {error}",
            advice="both are PEM files, the key without a passphrase, and the certificate made for that key",
        )  # fmt: skip
        return
    if api.client_authority is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(api.client_authority)
        except (OSError, ssl.SSLError) as error:
            yield Finding(
                code="tls", what=f"api.client_authority can't be used: {error}",
                advice="it is a PEM file with the certificates of who signs the callers'; without it the API doesn't start",
            )  # fmt: skip
    days = (ends - examined.now / 1000) / 86_400
    if days < _EXPIRY_DAYS:
        when = f"ends in {days:.0f} days" if days > 0 else f"ended {-days:.0f} days ago"
        yield Finding(
            code="tls_expiry", what=f"the API's certificate {when}",
            advice="renew it, put it at api.certificate, and start the daemon again",
        )  # fmt: skip


def _not_after(path: Path) -> float:
    from cryptography import x509  # comes with libp2p; the standard library reads only authorities' dates

    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()


def check_peers(examined: Examined) -> Findings:
    """Daemon up: its links. Daemon down: whether any known address accepts a connection."""
    if examined.status is not None:
        for peer in examined.status.peers:
            if not peer.get("connected"):
                why = peer.get("trouble") or "no link yet"
                yield Finding(
                    code="peer", what=f"no link to {peer.get('name')} ({str(peer.get('device'))[:16]}): {why}",
                    advice=UNLINKED,
                )  # fmt: skip
        return
    if examined.running:
        return
    known = list(_addresses(examined))
    if known and not any(_answers(host, port) for host, port in known[:MAX_DIALLED]):
        yield Finding(
            code="peer", what=f"none of the {len(known)} known addresses of other members accepts a connection",
            advice="check this machine's network and firewall, then ask the others whether their nodes run",
        )  # fmt: skip


def _addresses(examined: Examined) -> Iterator[tuple[str, int]]:
    if not examined.home.journal_file.exists():
        return
    try:
        with reading(examined.home.journal_file) as connection:
            rows = connection.execute("SELECT value FROM named_values WHERE name = 'address'").fetchall()
    except sqlite3.Error:
        return  # the journal's own check tells
    for (value,) in rows:
        try:
            listed = want_addresses(unpack(value))
        except Malformed:
            continue
        for address in listed:
            parts = address.split("/")
            if len(parts) >= 5 and parts[3] == "tcp" and parts[4].isdecimal():
                yield parts[2], int(parts[4])


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=DIAL_SECONDS).close()
    except OSError:
        return False
    return True
