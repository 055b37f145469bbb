"""Dockerfile, compose file, alert rules and Grafana dashboard are read as their programs would; none of those ran here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from medsync_node import cli
from medsync_node.config import SETTINGS, load

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "node" / "operations"
VARIABLES = {one.variable for one in SETTINGS} | {"MEDSYNC_HOME"}
INSTRUCTIONS = {
    "FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
}  # fmt: skip


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, rest) with continued lines joined."""
    text = "\n".join(line for line in (OPERATIONS / "Dockerfile").read_text().splitlines() if not line.startswith("#"))
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_dockerfile_copies_what_there_is_and_runs_as_nobody_special() -> None:
    found = dockerfile()
    assert {name for name, _ in found} <= INSTRUCTIONS
    assert all(re.search(r":[\w.-]*\d", rest.split()[0]) for name, rest in found if name == "FROM"), "bases have versions"
    for _, rest in (one for one in found if one[0] == "COPY" and "--from" not in one[1]):
        *sources, _ = rest.split()
        assert all((ROOT / source).exists() for source in sources), rest
    user = [i for i, (name, rest) in enumerate(found) if name == "USER" and rest not in ("root", "0")]
    last = [i for i, (name, _) in enumerate(found) if name in ("RUN", "FROM")][-1]
    assert user and user[-1] > last, "what runs last is not root"
    for name, rest in found:
        if name in ("ENTRYPOINT", "CMD") or "CMD [" in rest:
            assert json.loads(rest[rest.index("[") :]), "no shell between signals and the node"


def environments() -> list[dict[str, str]]:
    pairs = re.findall(r"(MEDSYNC_\w+)=(\S+)", " ".join(rest for name, rest in dockerfile() if name == "ENV"))
    services = compose()["services"].values()
    return [dict(pairs) | service.get("environment", {}) for service in services]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OPERATIONS / "compose.yml").read_text())
    return found


def test_the_settings_of_each_container_load(tmp_path: Path) -> None:
    for environment in environments():
        assert set(environment) <= VARIABLES
        found = load(tmp_path, {name: text for name, text in environment.items() if name != "MEDSYNC_HOME"}, {})
        assert found.announce and found.passphrase_from == "file:/run/secrets/passphrase" and found.log_format == "json"


def test_the_compose_file_holds_three_nodes_with_homes_and_secrets_of_their_own() -> None:
    found = compose()
    assert set(found["services"]) == {"north", "south", "east"}
    for name, service in found["services"].items():
        assert (OPERATIONS / service["build"]["context"] / service["build"]["dockerfile"]).resolve().is_file()
        (volume,), (secret,) = service["volumes"], service["secrets"]
        assert volume == f"{name}:/var/lib/medsync" and name in found["volumes"]
        assert secret == {"source": name, "target": "passphrase"} and found["secrets"][name]["file"].endswith(f"{name}.passphrase")
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and "privileged" not in service
        assert f"/{name}/" in service["environment"]["MEDSYNC_ANNOUNCE"]


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yml"])
def test_the_commands_that_they_name_exist(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (OPERATIONS / name).read_text()
    named = {"run", "status"} if name == "Dockerfile" else set(re.findall(r"(?:--rm north|exec north medsync) (\w+)", text))
    assert named and "Nobody ran an engine" in text
    for one in named:
        assert cli.run([one, "--help"]) == 0
    capsys.readouterr()


def test_the_dashboard_for_grafana_asks_for_metrics_that_there_are() -> None:
    found = json.loads((OPERATIONS / "grafana.json").read_text())
    listed = set(re.findall(r"^\| `(medsync_\w+)`", (ROOT / "node" / "README.md").read_text(), re.M))
    panels = found["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    used = {name for one in panels for target in one["targets"] for name in re.findall(r"\bmedsync_\w+", target["expr"])}
    assert used == listed, "each metric that the node has is shown"
    places = [[one["gridPos"][side] for side in "xywh"] for one in panels]
    cells = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24, "panels lie beside one another"
    variables = {f"${one['name']}" for one in found["templating"]["list"]} | {"${datasource}"}
    assert set(re.findall(r"\$\{?\w+\}?", json.dumps(panels))) <= variables


def test_alert_rules_are_whole() -> None:
    (group,) = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule["alert"].startswith("MedSync") and rule["expr"] and rule["annotations"]["summary"]
