"""A supervisor's browser for the tests: Debian's Chromium, driven by Playwright.

What the page must never do is watched all the time: break its Content-Security-Policy, throw, log errors.
`Browsed.fine` tells, and asks axe-core for what would keep people out (WCAG 2.2 AA).
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

ROOT = Path(__file__).parents[2]
AXE = ROOT / "console" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
PATIENCE = 15_000  # ms, for anything that must be seen
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
_WATCH = """
window.broken = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.broken.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@dataclass
class Browsed:
    """A page that is open, and what went wrong on it."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    async def go(self, url: str) -> Page:
        await self.page.goto(url)
        return self.page

    async def fine(self, where: str = "") -> None:
        """Nothing is wrong with the page as it stands."""
        self.wrong += await self.page.evaluate("window.broken.splice(0)")
        assert not self.wrong, f"{where}: {self.wrong}"
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text())
        # Axe would copy the style sheets of shadow roots into documents of its own, which the policy forbids it, too.
        found = await self.page.evaluate("rules => axe.run({runOnly: rules, preload: false})", RULES)
        barriers = [
            f"{each['id']}: {node['html'][:160]} ({node.get('failureSummary', '')})"
            for each in found["violations"]
            for node in each["nodes"]
        ]
        assert not barriers, f"{where} keeps people out: " + "\n".join(barriers)
        assert len(found["passes"]) > 10, "axe looked at next to nothing"

    async def fits(self) -> None:
        """Nobody must scroll sideways (WCAG 1.4.10)."""
        wide = await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"the page is {wide} pixels wider than its window"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser of this machine."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, "there is no Chromium: make browser (or apt-get install chromium)"
    assert AXE.exists(), "there is no axe-core: make browser (it needs npm)"
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


async def browse(browser: Browser, **options: Any) -> Browsed:
    """A supervisor's own window: no cookies, nothing kept. ``options`` are Playwright's of a context."""
    calm = {"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce"}  # what moves costs a busy machine's time
    context = await browser.new_context(**{**calm, **options})  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    await context.add_init_script(_WATCH)
    page = await context.new_page()
    browsed = Browsed(page)
    page.on("pageerror", lambda error: browsed.wrong.append(f"thrown: {error}"))

    def logged(message: Any) -> None:
        # An answer that is an error is logged by the browser itself; whether it should have come is the test's to say.
        if message.type == "error" and "Failed to load resource" not in message.text:
            browsed.wrong.append(f"logged: {message.text}")

    page.on("console", logged)
    return browsed
