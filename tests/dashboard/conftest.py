"""The two nodes and a real Chromium, for all tests of the dashboard."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.dashboard.world import CHROMIUM, DESKTOP, World, open_world

OTHER_NAME = "node.example"  # to a browser another machine: what it allows on loopback it doesn't there


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with open_world() as found:
        yield found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(reason="no Chromium: `apt-get install chromium`, then the browser tests run")
    with sync_playwright() as playwright:
        arguments = [f"--host-resolver-rules=MAP {OTHER_NAME} 127.0.0.1", *(["--no-sandbox"] if os.getuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody at a browser: what went wrong in it, and what it asked of whom."""

    page: Page
    base: str
    troubles: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def go(self, path: str) -> Any:
        return self.page.goto(self.base + path)

    @property
    def text(self) -> str:
        return self.page.inner_text("main")


@pytest.fixture
def visit(world: World, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Sign in with some scopes (none: all), or as the patient; at the end nothing was wrong in the browser."""
    opened: list[tuple[Any, Visitor]] = []

    def enter(
        *scopes: str, patient: bool = False, javascript: bool = True, size: tuple[int, int] = DESKTOP, host: str = "127.0.0.1"
    ) -> Visitor:
        context = chromium.new_context(java_script_enabled=javascript, viewport={"width": size[0], "height": size[1]})
        page = context.new_page()
        visitor = Visitor(page, world.base.replace("127.0.0.1", host))
        page.on("console", lambda one: visitor.troubles.append(one.text) if one.type in ("error", "warning") else None)
        page.on("pageerror", lambda one: visitor.troubles.append(str(one)))
        page.on("request", lambda one: visitor.hosts.add(one.url.split("/")[2]))
        page.goto(world.link(*scopes, patient=patient).replace("127.0.0.1", host))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile("/(overview|me)$"))
        opened.append((context, visitor))
        return visitor

    yield enter
    for context, visitor in opened:
        context.close()
        expected = [one for one in visitor.troubles if "Failed to load resource" not in one]  # pages that refuse, on purpose
        assert not expected, expected
        assert visitor.hosts == {visitor.base.split("/")[2]}, "a page asked somebody else"
