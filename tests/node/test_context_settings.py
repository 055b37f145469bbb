"""Settings that a context is founded with: read by name or number, shown by name, and a misspelt one is told."""

from __future__ import annotations

import re

import pytest

from medsync_node.context_settings import parse, shown
from medsync_protocol.decision import ImplicitRule, settings_of
from medsync_protocol.glass import glass_settings
from medsync_protocol.kinds import Role


def test_names_and_numbers_mean_the_same_and_names_are_shown() -> None:
    named, numbered = ["implicit=deny-but-break-glass", "glass.role=member"], ["implicit=3", "glass.role=1"]
    settings = dict(map(parse, named))
    assert settings == dict(map(parse, numbered)) == {"implicit": 3, "glass.role": 1}
    assert settings_of(settings).implicit is ImplicitRule.DENY_BUT_BREAK_GLASS and glass_settings(settings).role is Role.MEMBER
    assert list(shown({**settings, "policy.hash": "ab" * 32})) == ["glass.role=member", "implicit=deny-but-break-glass"]


@pytest.mark.parametrize("text", ["fresh.TREAT=60000", "retention.months=72", "history=from_join", "policy.k=3", "policy.admins=a,b"])
def test_what_has_no_name_is_taken_and_shown_as_it_is(text: str) -> None:
    assert list(shown(dict([parse(text)]))) == [text]


@pytest.mark.parametrize(("text", "said"), [
    ("implict=3", "did you mean implicit"), ("implicit=4", "deny, permit-treatment, permit or deny-but-break-glass"),
    ("glass.role=reader", "member or admin"), ("fresh.TREATT=1", "did you mean fresh.TREAT"), ("skew=2m", "milliseconds"),
    ("history=none", "from_join or full"), ("whatever=1", "retention.months"), ("implicit", "NAME=VALUE"), ("=1", "NAME=VALUE"),
])  # fmt: skip
def test_what_has_no_meaning_is_told_with_what_has(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(text)


def test_another_applications_settings_pass_as_they_are() -> None:
    assert parse("colour=blue", "notes") == ("colour", "blue") and parse("size=3", "notes") == ("size", 3)
