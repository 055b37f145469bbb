"""Tries one application in this process: random calls in random orders; `app_check.py` starts it under several hash seeds.

Prints one JSON object: a digest over every result, and sentences for what was wrong.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Mapping
from typing import Any, Final

from medsync_node.applications import installed_apps, loaded_app
from medsync_protocol.application import OpenedEntry
from medsync_protocol.applications import App, Call, Method
from medsync_protocol.applications import running
from medsync_protocol.crypto import blake2b
from medsync_protocol.group import GroupApplication, instance_id
from medsync_protocol.group_record import Record, What
from medsync_protocol.ids import ChainId, MemberId, OpId
from medsync_protocol.kinds import EntryKind, Role, Verdict

CALLS: Final = 24  # of a history
ORDERS: Final = 4  # in which each is folded
MEMBERS: Final = tuple(MemberId(bytes([number]) * 32) for number in (1, 2, 3))
_TEXTS: Final = ("a", "b", "c", "", "ä", "long " * 20)


def argument(rng: random.Random, type_: str) -> Any:
    """A value of a JSON type."""
    kind = type_.rstrip("?")
    if kind == "any":
        kind = rng.choice(("string", "number", "boolean", "array", "object"))
    match kind:
        case "string":
            return rng.choice(_TEXTS)
        case "number":
            return rng.choice((0, 1, -1, 7, 1 << 40))
        case "boolean":
            return rng.random() < 0.5
        case "array":
            return [rng.choice(_TEXTS) for _ in range(rng.randrange(3))]
        case _:
            return {text: rng.randrange(9) for text in rng.sample(_TEXTS, rng.randrange(3))}


def arguments(rng: random.Random, method: Method) -> dict[str, Any]:
    """Of one call; optional ones lack sometimes."""
    return {n: argument(rng, t) for n, t in method.arguments.items() if not t.endswith("?") or rng.random() < 0.7}


def history(rng: random.Random, app: App) -> list[OpenedEntry]:
    """An instance made, then calls of it, some at one instant."""
    changing = [name for name, method in sorted(app.abi.items()) if method.changes and name != "init"]
    init = json.dumps(arguments(rng, app.abi["init"])) if "init" in app.abi else ""
    records = [(0, Record(What.CREATE, b"", app.name, init))]
    instance = instance_id(_id(0), 0)
    for _ in range(CALLS if changing else 0):
        name = rng.choice(changing)
        text = json.dumps(arguments(rng, app.abi[name]))
        records.append((1 + rng.randrange(CALLS), Record(What.CALL, instance, name, text)))
    return [
        OpenedEntry(
            op_id=OpId(_id(number)), index=0, kind=EntryKind.NOTE, payload=record.encode(), subject=None,
            author=rng.choice(MEMBERS), chain=ChainId(bytes(40)), seq=number, hlc=clock << 16,
        )
        for number, (clock, record) in enumerate(records)
    ]  # fmt: skip


def _id(number: int) -> bytes:
    return number.to_bytes(32, "big")


def folded(app: App, entries: list[OpenedEntry]) -> tuple[bytes, list[Any]]:
    """(state hash, answers to every query without arguments) after these entries, in this order."""
    group = GroupApplication({app.name: app})
    group.role_of = lambda entry: Role.ADMIN
    for entry in entries:
        group.fold(entry, Verdict.EFFECTIVE)
        group.advance()
    instance = instance_id(_id(0), 0)
    asked = [name for name, method in sorted(app.abi.items()) if not method.changes and not method.arguments]
    answers = [group.ask(instance, name, {}) for name in asked]
    return group.state_hash(instance), [[one.output, one.error] for one in answers]


def pure(app: App, fresh: App, held: Mapping[str, str], call: Call) -> list[str]:
    """What is wrong with folding one call, twice and by another object of the class."""
    found = []
    results = [running.call(one, held, Call(call.method, dict(call.arguments), call.author, call.time, call.clock)) for one in (app, app, fresh)]
    if results[0] != results[1]:
        found.append(f"{call.method} gives another result when it is folded again: it looks at more than its arguments")
    elif results[0] != results[2]:
        found.append(f"{call.method} gives another result in a new object: the class keeps state beside `state`")
    if results[0].failed and "the application failed" in str(results[0].error):
        found.append(f"{call.method} raised for arguments that its `abi` allows: {results[0].error}")
    return found


def trial(named: str, seed: int, histories: int) -> tuple[bytes, list[str]]:
    """(digest, sentences)."""
    app = loaded_app(named) if ":" in named else installed_apps()[named]
    wrong: dict[str, None] = {}
    digests = []
    for number in range(histories):
        rng = random.Random(f"{seed}/{number}")
        entries = history(rng, app)
        results = [folded(app, rng.sample(entries, len(entries))) for _ in range(ORDERS)]
        if any(result != results[0] for result in results):
            wrong["other results when calls come in another order"] = None
        digests.append(results[0][0] + json.dumps(results[0][1], sort_keys=True).encode())
        held: dict[str, str] = {}
        for entry in entries[1:]:
            record = Record.decode(entry.payload)
            call = Call(record.name, json.loads(record.text), entry.author.hex(), entry.hlc >> 16, entry.hlc)
            wrong.update(dict.fromkeys(pure(app, type(app)(), held, call)))
            for key, text in (running.call(app, held, call).written or {}).items():
                held.pop(key, None) if text is None else held.update({key: text})
    return blake2b(*(blake2b(one) for one in digests)), list(wrong)


def main() -> None:
    """`python -m medsync_node.app_trial NAME SEED HISTORIES`."""
    named, seed, histories = sys.argv[1:]
    digest, wrong = trial(named, int(seed), int(histories))
    print(json.dumps({"digest": digest.hex(), "wrong": wrong}))


if __name__ == "__main__":
    main()
