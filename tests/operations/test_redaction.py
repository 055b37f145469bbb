"""What a busy node logs at its most talkative, and its metrics, hold no patient's pseudonym, no key, no token."""

from __future__ import annotations

import io
import re
from pathlib import Path

import httpx
import pytest
import structlog

from medsync_client.subjects import SubjectEnrol
from medsync_node import logs
from medsync_node.token_book import TokenBook
from tests.node.api_world import PASSPHRASE, form, make_home, running, until


async def test_logs_and_metrics_of_a_busy_run_give_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr("sys.stderr", heard)
    before = structlog.get_config()
    logs.configure("debug", "json")
    try:
        home, other = make_home(tmp_path, "north"), make_home(tmp_path, "lab")
        async with running(home, {"api.listen": "127.0.0.1:0"}) as north, running(other) as lab:
            await form([north, lab])
            _, token = TokenBook(home.tokens_file).issue(0, "scraper", ["metrics"], 1 << 52, 100)
            subject = await north.client.enrol_subject("trial", SubjectEnrol())
            await north.client.rotate("trial")
            base = north.daemon.api.url or ""
            async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
                bearer = {"Authorization": f"Bearer {token}"}
                for path in (f"/v1/contexts/trial/subjects/{subject.subject}", "/v1/contexts/trial/access", "/v1/nothing"):
                    await http.get(path, headers=bearer)
                    await http.get(path, headers={"Authorization": "Bearer medsync-wrong-token-0123456789"})
                    await http.get(path, headers={"Authorization": f"Bearer {north.daemon.token}"})
                    await http.post(path, headers={"Authorization": f"Bearer {north.daemon.token}"}, content=b'{"x":')
                metrics = (await http.get("/metrics", headers=bearer)).text
            identity = north.daemon.node.identity
            secret = {
                "pseudonym": subject.subject, "card": subject.card, "token": token, "node token": north.daemon.token or "-",
                "member seed": identity.member_seed.hex(), "device seed": identity.device_seed.hex(),
                "storage key": identity.storage_key.hex(), "passphrase": PASSPHRASE, "wrong token": "wrong-token",
            }  # fmt: skip
        async with running(home):  # tells the operator at its start what it finds

            async def told() -> bool:
                return "is not anchored" in heard.getvalue()

            await until(told)
    finally:
        structlog.configure(**before)
    written = heard.getvalue()
    assert "medsync_context_operations" in metrics
    assert {name for name, value in secret.items() if value in written or value in metrics} == set()
    assert not re.search(r"medsync-[\w-]{30,}", written + metrics), "a token"
