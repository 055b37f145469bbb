"""The whole audit of one context: asks the nodes, judges what they say, then the export. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import httpx

from medsync_node.verify.chain_check import Judged, check_chain
from medsync_node.verify.export_check import EXPORT_CHECKS, ExportChecker
from medsync_node.verify.facts import ChainFacts, differences, gather
from medsync_node.verify.report import Report
from medsync_node.verify.rpc import Rpc
from medsync_protocol.address import ChainAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """`export` is None when none was given, or when nothing on chain held that it could be compared with. `nodes_agree` stands in the report's checks when several were asked."""

    report: Report
    facts: ChainFacts
    judged: Judged
    export: ExportChecker | None


def audit(
    address: ChainAddress,
    urls: Sequence[str],
    http: httpx.Client,
    export: Iterable[str] | None,
    progress: Callable[[str], None],
) -> Audit:
    """Check a context by one node or more, all at the newest block that each of them has.

    Raises Unreachable when a node does not answer, Malformed when one answers nonsense.
    """
    nodes = [Rpc(url, http) for url in urls]
    block = min(node.latest() for node in nodes)
    gathered = [gather(node, address, block, progress) for node in nodes]
    report = Report()
    judged = check_chain(address, gathered[0], report)
    for url, facts in zip(urls[1:], gathered[1:], strict=True):
        said = differences(gathered[0], facts)
        report.check("nodes_agree", not said, f"{urls[0]} and {url} differ in {', '.join(said)}")
        check_chain(address, facts, report)
    checker = None
    if export is not None and not judged.statements:
        report.skip(*EXPORT_CHECKS)
    elif export is not None:
        progress("the export …")
        checker = ExportChecker(address, judged.genesis, judged.statements, report)
        checker.run(export)
    return Audit(report=report, facts=gathered[0], judged=judged, export=checker)
