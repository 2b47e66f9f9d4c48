"""A real browser, where Debian's `chromium` (or another Chrome) is installed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

SETTLED = """
!document.querySelector(".waiting, [aria-busy=true]") && document.getAnimations().length === 0
"""

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        # As root it has no sandbox; the environment's proxy is for other hosts than this one.
        arguments = ["--no-proxy-server", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page of a browser, and what it must not have: errors, and requests to other hosts.

    Args:
        browser: opens the page, in a profile of its own.
        url: the server's; every other one is another host.
        options: of Playwright's `new_context`.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.context.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "data:", "about:")):
            self.complaints.append(f"a request to {request.url}")

    def open(self, place: str) -> Page:
        """Go to a place of the page, such as ``#/person``; returns once nothing is awaited."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{place}")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until no request is under way, and nothing is waited for or moves."""
        self.page.wait_for_load_state("networkidle")
        # Not Playwright's own wait: it evaluates text, which the page's policy forbids.
        deadline = time.monotonic() + 30
        while not self.page.evaluate(SETTLED):
            assert time.monotonic() < deadline, self.page.inner_text("main")
            self.page.wait_for_timeout(20)

    def violations(self) -> list[str]:
        """Return what axe finds wrong for people who use keyboards, screen readers or magnifiers.

        The page's own policy forbids foreign scripts: axe is evaluated by the browser's debugger.
        """
        found = Axe().run(self.page).response["violations"]
        return [
            f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in found
            for node in rule["nodes"]
        ]

    def close(self) -> None:
        """Close the page."""
        self.context.close()
