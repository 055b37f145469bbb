"""The specification (protocol/README.md) says what the code does: numbers, limits, the table of who may write what."""

from __future__ import annotations

import ast
import re
from enum import IntEnum
from pathlib import Path

import pytest

from medsync_protocol import actions, codec, frames, kinds, operation, parking, rule, subject
from medsync_protocol.authority import WHO_MAY, Act, Source

ROOT = Path(__file__).resolve().parents[2] / "protocol"
PAGE = (ROOT / "README.md").read_text("utf-8")

COLUMNS = {
    "patient key": Source.PATIENT, "delegate key": Source.DELEGATE, "custodian": Source.CUSTODIAN, "other member": Source.MEMBER,
    "former key": Source.FORMER, "foreign key, carried": Source.CARRIED, "void operation": Source.CONTESTED,
}  # fmt: skip
ROWS = {
    "grant": Act.GRANT, "deny": Act.DENY, "take back": Act.TAKE_BACK, "lift own": Act.LIFT_OWN, "lift signed": Act.LIFT_SIGNED,
    "lift attested": Act.LIFT_ATTESTED,
}  # fmt: skip


@pytest.mark.parametrize("enum", [kinds.OpKind, kinds.EntryKind, kinds.Verdict, frames.FrameKind], ids=lambda e: e.__name__)
def test_every_number_on_the_wire_is_written_down(enum: type[IntEnum]) -> None:
    missing = [item for item in enum if not re.search(rf"\b{item.name} {int(item)}\b", PAGE)]
    assert not missing


def test_the_table_of_who_may_write_what_is_the_one_that_is_executed() -> None:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
    header = next(line for line in lines if line[1:2] == ["patient key"])
    assert {COLUMNS[name] for name in header[1:]} == set(Source) - {Source.NOBODY}
    written = {line[0]: line[1:] for line in lines if line[0] in ROWS and len(line) == len(header)}
    assert {ROWS[name] for name in written} == set(Act)
    for name, cells in written.items():
        allowed = {COLUMNS[column] for column, cell in zip(header[1:], cells, strict=True) if cell == "yes"}
        assert allowed == WHO_MAY[ROWS[name]], name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("256 KiB, 4,096 entries", (operation.MAX_OP_BYTES // 1024, operation.MAX_ENTRIES)),
        ("membership heads | 8", (operation.MAX_HEADS,)),
        ("1 MiB, 8,192 operations", (frames.MAX_FRAME_BYTES >> 20, frames.MAX_OPS)),
        ("voters in a list | 250", (actions.MAX_MEMBERS,)),
        ("4,096; 65,536", (actions.MAX_CHAINS, frames.MAX_VECTOR)),
        ("10,000 and 64 MiB", (parking.MAX_PARKED, parking.MAX_PARKED_BYTES >> 20)),
        ("64 rules, 32 exceptions", (rule.MAX_RULES, rule.MAX_EXCEPTIONS)),
        ("| 3, 16, 16 |", (subject.MAX_HOMES, subject.MAX_CUSTODIANS, subject.MAX_KEYS)),
        ("nested at most 16 deep", (codec.MAX_DEPTH,)),
    ],
)  # fmt: skip
def test_limits_are_those_of_the_code(text: str, value: tuple[int, ...]) -> None:
    assert text in PAGE
    assert tuple(int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d|\d", text)) == value


def test_every_module_is_listed_with_its_job() -> None:
    for path in sorted((ROOT / "medsync_protocol").glob("*.py")):
        if path.stem != "__init__":
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path.stem
            assert f"| `{path.stem}` | " in PAGE, path.stem


def test_links_lead_somewhere() -> None:
    headings = {re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-") for line in PAGE.splitlines() if line.startswith("## ")}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert target.removeprefix("#") in headings if target.startswith("#") else (ROOT / target).exists(), target


def test_sections_that_the_code_cites_exist() -> None:
    sections = {int(n) for n in re.findall(r"(?m)^## (\d+)\.", PAGE)}
    for path in (ROOT / "medsync_protocol").glob("*.py"):
        for cited in re.findall(r"PROTOCOL §+(\d+)", path.read_text("utf-8")):
            assert int(cited) in sections, (path.name, cited)
