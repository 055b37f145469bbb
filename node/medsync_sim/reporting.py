"""Tables and pictures from a sweep's rows: the same rows, so that a picture never says what the table doesn't."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from medsync_protocol.errors import Refused
from medsync_sim.sweep import ROWS

COLUMNS: Final = ("scenario", "seed", "digest", "events", "ms", "violations", "rules", "attacker_won")
BAR: Final = 22  # pixels a bar is high, gap included


def report(folder: Path) -> list[Path]:
    """rows.csv (and rows.parquet where polars is installed), success.csv, and a picture of each measure.

    Raises Refused when there are no rows.
    """
    path = folder / ROWS
    if not path.exists():
        raise Refused("no rows here", code="no_rows", advice="run `medsync simulate sweep SCENARIO --out DIR` first")
    rows = [_flat(json.loads(line)) for line in path.read_text("utf-8").splitlines() if line.endswith("}")]
    columns = [*COLUMNS, *sorted({key for row in rows for key in row} - set(COLUMNS))]
    written = [_csv(folder / "rows.csv", columns, rows)]
    written += _parquet(folder / "rows.parquet", columns, rows)
    success = list(_success(rows))
    written.append(_csv(folder / "success.csv", list(success[0]), success))
    shares = [(row["case"], row["attacker_won"] / row["runs"]) for row in success]
    written.append(_bars(folder / "attackers.svg", "share of runs in which the attacker won", shares, "{:.0%}"))
    duels = list(_duels(rows))
    if duels:
        written.append(_csv(folder / "finality.csv", list(duels[0]), duels))
        bars = [
            (f"{row['case'].split(' ', 1)[-1]}, {when} finality", row[f"won_{when}"] / row[f"struck_{when}"])
            for row in duels for when in ("before", "after") if row[f"struck_{when}"]
        ]  # fmt: skip
        written.append(_bars(folder / "finality.svg", "share of struck runs in which back-dating won", bars, "{:.0%}"))
    written += [
        _curve(folder / f"{name}.svg", title, rows, key)
        for name, title, key in (
            ("convergence", "ms until everybody was in step again", "converged_ms"),
            ("exposure", "ms from a removal until it was settled everywhere", "exposed_ms"),
        )
        if any(key in row for row in rows)
    ]
    return written


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("scenario", "seed", "digest", "events", "ms")},
        "violations": len(row["violations"]), "rules": " ".join(sorted({v["rule"] for v in row["violations"]})),
        "attacker_won": int(bool(row["attacker_won"])), "bug": row["bug"] or "",
        **{f"set_{name}": value for name, value in row["parameters"].items()},
        **{name.replace(" ", "_"): value for name, value in row["facts"].items()},
    }  # fmt: skip


def _csv(path: Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _parquet(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> list[Path]:
    try:
        polars = import_module("polars")
    except ImportError:
        return []
    polars.DataFrame([{name: row.get(name) for name in columns} for row in rows]).write_parquet(path)
    return [path]


def _duels(rows: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Where removals were back-dated: runs struck before and after the target's own removal was final, and how many won."""
    struck = [row for row in rows if row.get("before_finality") or row.get("after_finality")]
    for case, of in sorted(_cases(struck).items()):
        before = [row for row in of if row.get("before_finality")]
        after = [row for row in of if row.get("after_finality")]
        yield {
            "case": case, "struck_before": len(before), "won_before": sum(row["attacker_won"] for row in before),
            "struck_after": len(after), "won_after": sum("S3" in row["rules"].split() for row in after),
        }  # fmt: skip


def _cases(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    cases: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        settings = " ".join(f"{k[4:]}={v}" for k, v in sorted(row.items()) if k.startswith("set_"))
        cases[f"{row['scenario']} {settings}".strip()].append(row)
    return cases


def _success(rows: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Per scenario and parameters: runs, those with violations, those that the attacker won."""
    for case, of in sorted(_cases(rows).items()):
        yield {
            "case": case, "runs": len(of), "violating": sum(row["violations"] > 0 for row in of),
            "attacker_won": sum(row["attacker_won"] for row in of), "events": sum(row["events"] for row in of),
        }  # fmt: skip


def _bars(path: Path, title: str, values: list[tuple[str, float]], form: str) -> Path:
    highest = max((value for _, value in values), default=0) or 1
    parts = [
        f'<text x="10" y="{46 + i * BAR}">{name}</text>'
        f'<rect x="330" y="{34 + i * BAR}" width="{300 * value / highest:.1f}" height="14" fill="#2b6cb0"/>'
        f'<text x="{338 + 300 * value / highest:.1f}" y="{46 + i * BAR}">{form.format(value)}</text>'
        for i, (name, value) in enumerate(values)
    ]
    return _svg(path, title, parts, 60 + len(values) * BAR)


def _curve(path: Path, title: str, rows: list[dict[str, Any]], key: str) -> Path:
    """Quantiles: which share of the runs needed at most so long."""
    found = sorted(int(row[key]) for row in rows if key in row)
    top = found[-1] or 1
    points = " ".join(
        f"{50 + 600 * value / top:.1f},{330 - 280 * (i + 1) / len(found):.1f}" for i, value in enumerate(found)
    )
    parts = [
        '<path d="M50 50V330H650" fill="none" stroke="#444"/>',
        f'<polyline points="{points}" fill="none" stroke="#2b6cb0" stroke-width="2"/>',
        '<text x="8" y="56">100 %</text><text x="20" y="334">0</text>',
        f'<text x="600" y="350">{top} ms</text>',
    ]
    return _svg(path, f"{title} ({len(found)} runs)", parts, 370)


def _svg(path: Path, title: str, parts: list[str], height: int) -> Path:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif" font-size="12">'
    path.write_text(
        "\n".join([head, f'<text x="10" y="20" font-size="14">{title}</text>', *parts, "</svg>"]) + "\n", "utf-8"
    )
    return path
