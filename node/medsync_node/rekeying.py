"""A home's new device and sealing key: made beside the old ones, then, once others know them, put in their place.

Three steps, each whole or not at all, so that a home killed between any two is usable and the step is done again:
`prepare` (the key file holds the new seeds as well), `certified` (members hold the certificate), `take_over` at the next
start (the journal's secret values under the new key, then the key file). What follows from it in each context the node
does by itself (`medsync_protocol.rekeying`).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from medsync_node import key_file, schema
from medsync_node.home import Home
from medsync_node.key_file import Keys, Renewal
from medsync_node.rows import value_crc
from medsync_node.store_reader import secret_place
from medsync_protocol.crypto import seal, unseal
from medsync_protocol.errors import Malformed, OperatorError
from medsync_protocol.identity import Identity

MAX_RENEWALS: Final = 100  # generations a key file keeps: each is tried on every box that does not open


def prepare(path: Path, passphrase: str) -> Keys:
    """Put new seeds beside the present ones, unless a renewal is under way. Raises as `key_file.unlock`."""
    keys = key_file.open_keys(path, passphrase)
    if keys.renewal is not None:
        return keys
    if len(keys.identity.former_devices) >= MAX_RENEWALS:
        raise OperatorError(
            f"this home's keys were renewed {MAX_RENEWALS} times", advice="init a new home and have it invited"
        )
    keys = replace(keys, renewal=Renewal(os.urandom(32), os.urandom(32)))
    key_file.replace(path, keys, passphrase)
    return keys


def certified(path: Path, passphrase: str) -> None:
    """Other members know the new device: the next start takes over. Raises as `key_file.unlock`."""
    keys = key_file.open_keys(path, passphrase)
    assert keys.renewal is not None, "what is certified was prepared"
    key_file.replace(path, replace(keys, renewal=replace(keys.renewal, certified=True)), passphrase)


def take_over(home: Home, passphrase: str) -> Identity:
    """The identity to run under; the new one where it is certified. The caller holds the home. Raises as `unlock`."""
    keys = key_file.open_keys(home.key_file, passphrase)
    if keys.renewal is None or not keys.renewal.certified:
        return keys.identity
    new = keys.renewed()
    reseal(home.journal_file, keys.identity.storage_key, new.storage_key)
    key_file.replace(home.key_file, Keys(new), passphrase)
    return new


def reseal(journal: Path, old: bytes, new: bytes) -> None:
    """Seal a journal's secret values under another storage key, all or none; again is no harm. Raises OperatorError."""
    if not journal.exists():
        return
    try:
        with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")
            schema.prepare(connection)
            connection.execute("BEGIN IMMEDIATE")
            held = connection.execute("SELECT rowid, at, name, context, key, value FROM named_values WHERE secret").fetchall()
            for row, at, name, context, key, value in held:
                place = secret_place(name, context, key)
                again = seal(new, _opened(value, old, new, place), nonce=os.urandom(24), associated=place)
                crc = value_crc(at, name, context, key, True, again)
                connection.execute("UPDATE named_values SET value = ?, crc = ? WHERE rowid = ?", (again, crc, row))
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise OperatorError(
            f"the journal could not be sealed under the new key: {error}",
            advice="free space and start again: until then the home is as it was",
        ) from error


def _opened(value: bytes, old: bytes, new: bytes, place: bytes) -> bytes:
    try:
        return unseal(old, value, place)
    except Malformed:
        try:
            return unseal(new, value, place)
        except Malformed as error:
            raise OperatorError(
                "a secret value of the journal opens neither under the old key nor under the new one",
                advice="restore the newest backup",
            ) from error
