"""`medsync verify --export` against what the chain holds, with an export that is whole, short, or lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_node.verify.audit import Audit, audit
from medsync_node.verify.export_check import EXPORT_CHECKS
from medsync_node.printed.contents import contents
from medsync_node.printed.cover import cover_sheet
from medsync_node.verify.export_format import (
    ExportedCheckpoint,
    ExportedOperation,
    ExportHeader,
    Line,
    decode_line,
    encode_line,
    read_export,
)
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId, NetworkId, OpId
from medsync_protocol.kinds import Plane, Verdict
from medsync_protocol.statement import Statement
from tests.contracts.anchored import Anchored
from tests.contracts.exported import PLAIN, Device, Records, pruned, text, written
from tests.contracts.local_chain import LocalChain
from tests.contracts.test_verify import address_of, failed, quiet


@pytest.fixture(scope="module")
def anchored() -> tuple[Anchored, Records]:
    """Three checkpoints; in the second an operation is void."""
    chain, records = LocalChain(), written()
    found = Anchored(stage=chain, contract=chain.deploy("anchor"), genesis=records.context)
    found.open()
    records.checkpoint(found)
    void = records.second.write(records.context, [PLAIN])
    records.first.write(records.context, [PLAIN])
    records.checkpoint(found, {void.op_id: Verdict.VOID_ROLE})
    records.first.write(records.context, [PLAIN])
    records.checkpoint(found)
    records.first.write(records.context, [PLAIN])  # not in any checkpoint yet
    return found, records


def run(anchored: tuple[Anchored, Records], lines: list[str]) -> Audit:
    found, _ = anchored
    assert isinstance(found.stage, LocalChain)
    with found.stage.http() as http:
        return audit(address_of(found), ["http://chain.invalid"], http, lines, quiet)


def spoilt(anchored: tuple[Anchored, Records], edit: Callable[[list[Line]], None]) -> set[str]:
    lines = anchored[1].lines()
    edit(lines)
    return failed(run(anchored, text(lines)))


def operations(lines: list[Line]) -> list[int]:
    return [at for at, line in enumerate(lines) if isinstance(line, ExportedOperation)]


def checkpoints(lines: list[Line]) -> list[int]:
    return [at for at, line in enumerate(lines) if isinstance(line, ExportedCheckpoint)]


def test_a_whole_export_gives_the_anchored_roots(anchored: tuple[Anchored, Records]) -> None:
    found = run(anchored, text(anchored[1].lines(str(address_of(anchored[0])))))
    assert found.report.problems == []
    assert all(found.report.checks[name] for name in EXPORT_CHECKS)
    assert found.export is not None
    assert (found.export.operations, found.export.entries, found.export.checkpoints) == (8, 11, 3)
    assert anchored[0].head.consent_root != 0


def test_its_cover_says_where_it_ends(anchored: tuple[Anchored, Records]) -> None:
    address = str(address_of(anchored[0]))
    found = contents(text(anchored[1].lines(address)))
    assert (found.held, found.checkpoints, found.beyond, found.entries.total()) == (8, 3, 1, 10)
    page = " ".join(cover_sheet(found, file="trial.ndjson.gz", context=None, made=0, by="<i>&").split())
    assert f"medsync verify {address} --rpc URL --rpc OTHER-URL --export trial.ndjson.gz</pre>" in page
    assert "number 3, the last of 3" in page and "1 operation that is not final yet" in page and "1 for: role" in page
    assert "gzip -dc trial.ndjson.gz | sha256sum" in page and found.digest in page and f"{anchored[0].head.log_root:#066x}" in page
    assert "as &lt;i&gt;&amp; held it" in page and "<i>" not in page


def test_pruned_entries_change_nothing(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        for at in operations(lines):
            line = lines[at]
            assert isinstance(line, ExportedOperation)
            devices = {device.chain: device for device in anchored[1].devices}
            made = devices[line.chain].operations[line.seq]
            if made.header.plane == Plane.DATA:
                lines[at] = replace(line, wire=pruned(made, *range(made.header.count)))

    assert spoilt(anchored, edit) == set()


def test_an_earlier_export_is_checked_as_far_as_it_goes(anchored: tuple[Anchored, Records]) -> None:
    lines = anchored[1].lines()
    del lines[checkpoints(lines)[-1]]
    found = run(anchored, text(lines))
    assert found.report.ok
    assert found.export is not None
    assert found.export.checkpoints == 2


def test_an_export_without_a_checkpoint_proves_nothing(anchored: tuple[Anchored, Records]) -> None:
    found = run(anchored, text([line for line in anchored[1].lines() if not isinstance(line, ExportedCheckpoint)]))
    assert not found.report.ok and found.report.checks["cuts"] is False
    assert found.report.checks["log_roots"] is None and "first checkpoint" in found.report.problems[-1]


def test_a_missing_operation_is_missed(anchored: tuple[Anchored, Records]) -> None:
    whole = anchored[1].lines()
    unanchored = anchored[1].first.operations[-1].op_id
    for at in operations(whole):
        gone = whole[at]
        if isinstance(gone, ExportedOperation) and gone.op_id == unanchored:
            continue  # nothing says that it exists

        def edit(lines: list[Line], at: int = at) -> None:
            del lines[at]

        assert spoilt(anchored, edit) & {"cuts", "chain_links"}


def test_a_changed_verdict_does_not_give_the_log_root(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        line = lines[checkpoints(lines)[1]]
        assert isinstance(line, ExportedCheckpoint)
        lines[checkpoints(lines)[1]] = replace(line, verdicts={})

    assert spoilt(anchored, edit) == {"log_roots"}


def test_a_verdict_on_what_is_not_there_is_found(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        at = checkpoints(lines)[2]
        line = lines[at]
        assert isinstance(line, ExportedCheckpoint)
        lines[at] = replace(line, verdicts={(anchored[1].first.chain, 0): Verdict.VOID_KEY})

    assert "cuts" in spoilt(anchored, edit)


def test_a_longer_cut_is_found(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        at = checkpoints(lines)[2]
        line = lines[at]
        assert isinstance(line, ExportedCheckpoint)
        first = anchored[1].first
        cut = {**line.cut, first.chain: (len(first.operations), first.operations[-1].op_id)}
        lines[at] = replace(line, cut=cut)

    assert spoilt(anchored, edit) == {"log_roots"}


def test_a_rewritten_operation_is_found(anchored: tuple[Anchored, Records]) -> None:
    """Signed by its device, linked properly, and yet not what was anchored."""

    def edit(lines: list[Line]) -> None:
        second = anchored[1].second
        forked = Device(second.seed, second.operations[:2])
        made = forked.write(anchored[1].context, [PLAIN, PLAIN])
        at = next(
            at for at in operations(lines)
            if (line := lines[at]) and isinstance(line, ExportedOperation) and line.op_id == second.operations[2].op_id
        )  # fmt: skip
        lines[at] = ExportedOperation(chain=second.chain, seq=2, op_id=made.op_id, wire=made.wire)

    assert spoilt(anchored, edit) == {"cuts"}


def test_both_branches_of_a_fork_may_be_there(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        second = anchored[1].second
        forked = Device(second.seed, second.operations[:2])
        made = forked.write(anchored[1].context, [PLAIN, PLAIN])
        lines.insert(
            checkpoints(lines)[0],
            ExportedOperation(chain=second.chain, seq=2, op_id=made.op_id, wire=made.wire),
        )

    assert spoilt(anchored, edit) == set()


def test_a_flipped_bit_in_any_operation_is_found(anchored: tuple[Anchored, Records]) -> None:
    lines = anchored[1].lines()
    for at in operations(lines):
        line = lines[at]
        assert isinstance(line, ExportedOperation)
        for position in range(0, len(line.wire), 37):
            wire = bytearray(line.wire)
            wire[position] ^= 1
            damaged = [*lines[:at], replace(line, wire=bytes(wire)), *lines[at + 1 :]]
            assert "operations" in failed(run_only_export(anchored, damaged))


def run_only_export(anchored: tuple[Anchored, Records], lines: list[Line]) -> Audit:
    return run(anchored, text(lines))


def test_another_contexts_export_is_found(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        header = lines[0]
        assert isinstance(header, ExportHeader)
        lines[0] = replace(header, context=ContextId(blake2b(b"another")), genesis=blake2b(b"another"))

    assert {"export_header", "operations"} <= spoilt(anchored, edit)


def test_another_networks_operations_are_found(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        header = lines[0]
        assert isinstance(header, ExportHeader)
        lines[0] = replace(header, network=NetworkId(blake2b(b"another")))

    assert "operations" in spoilt(anchored, edit)


def test_a_statement_that_the_chain_does_not_hold_is_found(anchored: tuple[Anchored, Records]) -> None:
    def edit(lines: list[Line]) -> None:
        at = checkpoints(lines)[0]
        line = lines[at]
        assert isinstance(line, ExportedCheckpoint)
        lines[at] = replace(line, statement=replace(line.statement, detail=9))

    assert spoilt(anchored, edit) == {"cuts"}, "the roots behind it are not checked"


@pytest.mark.parametrize(
    "lines",
    [[], ["\n"], ["{}\n"], ["nonsense\n"], ['{"medsync":"audit-export","version":2}\n'], ["[" * 100_000]],
)
def test_what_is_no_export_is_told(anchored: tuple[Anchored, Records], lines: list[str]) -> None:
    found = run(anchored, lines)
    assert "export_header" in failed(found)
    assert "can't be read" in found.report.problems[0]


# -- the format ---------------------------------------------------------------------------------------------------

ids = st.binary(min_size=32, max_size=32)
chains = st.binary(min_size=40, max_size=40).map(ChainId)
counts = st.integers(0, 2**63 - 1)
felts = st.integers(0, 2**251)
verdicts = st.sampled_from([verdict for verdict in Verdict if not verdict.effective])
statements = st.builds(
    Statement, context=felts, k=st.integers(0, 2**63 - 1), prev=felts, members=felts, next_members=felts,
    consent_root=felts, log_root=felts, log_size=st.integers(0, 2**64 - 1), reward_root=felts, detail=felts,
    not_before=st.integers(0, 2**64 - 1),
)  # fmt: skip
any_line = st.one_of(
    st.builds(
        ExportHeader,
        network=ids.map(NetworkId),
        context=ids.map(ContextId),
        genesis=ids,
        address=st.none() | st.text(),
    ),
    st.builds(ExportedOperation, chain=chains, seq=counts, op_id=ids.map(OpId), wire=st.binary()),
    st.builds(
        ExportedCheckpoint,
        statement=statements,
        cut=st.dictionaries(chains, st.tuples(counts, ids.map(OpId)), max_size=3),
        verdicts=st.dictionaries(st.tuples(chains, counts), verdicts, max_size=3),
    ),
)


@given(any_line)
def test_a_line_decodes_to_what_was_encoded(line: Line) -> None:
    assert decode_line(encode_line(line)) == line
    assert "\n" not in encode_line(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(any_line, st.data())
def test_a_spoilt_line_is_malformed_and_nothing_else(line: Line, data: st.DataObject) -> None:
    document = json.loads(encode_line(line))
    name = data.draw(st.sampled_from(sorted(document)))
    document[name] = data.draw(json_values)
    with suppress(Malformed):
        decode_line(json.dumps(document))


def test_lines_out_of_order_are_refused() -> None:
    lines = text(written().lines())
    with pytest.raises(Malformed, match="line 1"):
        list(read_export(lines[1:]))
    with pytest.raises(Malformed, match="line 2"):
        list(read_export([lines[0], lines[0]]))
