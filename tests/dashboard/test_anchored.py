"""Pages of a context that stands on a chain: its checkpoints, and proofs that a stranger checks as they were downloaded."""

from __future__ import annotations

from pathlib import Path

import httpx

from medsync_client.consents import DirectiveText, Grant, WireRule
from medsync_client.links import LinkCreate
from medsync_client.proofs import Proof
from medsync_client.subjects import SubjectEnrol
from medsync_protocol.ids import ContextId
from tests.node.api_world import form, make_home, running
from tests.node.test_proofs import Story


async def test_checkpoints_are_shown_and_their_proofs_hold_on_the_chain(tmp_path: Path) -> None:
    story = Story()
    async with running(make_home(tmp_path, "north"), {"api.listen": "127.0.0.1:0"}) as north:
        made = await form([north])
        context = ContextId(bytes.fromhex(made.id))
        await story.open(north, context)
        subject = await north.client.enrol_subject("trial", SubjectEnrol())
        text = DirectiveText(subject=subject.subject, rules=(WireRule(effect="permit"),))
        consent = await north.client.grant("trial", Grant(attest=text))
        await story.checkpoint(north, context)
        url = (await north.client.open_dashboard(LinkCreate())).url
        async with httpx.AsyncClient(base_url=url.split("/dashboard")[0], trust_env=False) as http:
            await http.post("/dashboard/enter", data={"code": url.split("code=")[1]})
            anchors = await http.get("/dashboard/c/trial/anchors")
            assert "starknet:" in anchors.text and '<span class="tag accepted">accepted</span>' in anchors.text
            for path in ("anchors/1/proof", f"consents/{consent.id}/proof"):
                assert path in (await http.get(f"/dashboard/c/trial/{path.removesuffix('/1/proof').removesuffix('/proof')}")).text
                file = await http.get(f"/dashboard/c/trial/{path}")
                assert file.status_code == 200 and "attachment" in file.headers["content-disposition"]
                assert story.check(Proof.model_validate_json(file.content)).report.ok
            assert (await http.get("/dashboard/c/trial/anchors/9/proof")).status_code == 404
            assert (await http.get("/dashboard/c/trial/anchors/one/proof")).status_code == 422
            history = await http.get("/dashboard/c/trial/operations")
            assert 'class="box accepted"' in history.text and "1, accepted" in history.text
            assert "1 accepted" in (await http.get("/dashboard/c/trial")).text
