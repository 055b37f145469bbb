"""Whether the key file can be read, and opens under the passphrase where that needs no person."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from medsync_node import key_file
from medsync_node.authorship import KeyFileForeign, require_own, writers
from medsync_node.doctor.finding import Examined, Finding, Findings
from medsync_node.doctor.journal import reading
from medsync_node.passphrase import PROMPT, read_passphrase
from medsync_protocol.errors import KeyFileLocked, OperatorError
from medsync_protocol.ids import DeviceId


def _unfinished(keys: key_file.Keys) -> Findings:
    if keys.renewal is not None:
        yield Finding(
            code="rekey_unfinished", what="the new keys that `medsync key rekey` made are not in force yet",
            advice="start the daemon again" if keys.renewal.certified else "say `medsync key rekey` again while the daemon runs",
        )  # fmt: skip


def _writers(journal: Path) -> frozenset[DeviceId]:
    if not journal.exists():
        return frozenset()
    try:
        with reading(journal) as connection:
            return writers(connection)
    except sqlite3.Error:
        return frozenset()  # the journal's own check tells


def check_key_file(examined: Examined) -> Findings:
    """Readable, ours, and opened by what `passphrase_from` names (half a second of argon2id); a prompt isn't asked."""
    path = examined.home.key_file
    try:
        head = key_file.read_head(path)
        source = PROMPT if examined.config is None else examined.config.passphrase_from
        if source != PROMPT:
            keys = key_file.open_keys(path, read_passphrase(source))
            yield from _unfinished(keys)
            require_own(_writers(examined.home.journal_file), keys.identity)
    except KeyFileLocked as error:
        yield Finding.of("passphrase", error)
        return
    except KeyFileForeign as error:
        yield Finding.of("key_file_foreign", error)
    except OperatorError as error:
        yield Finding.of("key_file", error)
        return
    if examined.status is not None and examined.status.device != head.device:
        yield Finding(
            code="key_file_replaced", what="the running daemon has another device key than the key file",
            advice="start it again if the key file is the right one; else restore the key file from a backup",
        )  # fmt: skip
