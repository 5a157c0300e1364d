"""The page at work on real calls: it shows them as they are, is listened with, and does what its buttons say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, expect
from yarl import URL

from asterisk.world import Caller
from engine.console.tokens import create
from engine.settings import ConsoleSettings, HttpSettings
from tests.calls.company import Company, Open, until
from tests.calls.hearing import singing
from tests.console.browsing import browse
from tests.console.listening import EAR, LEFT, RIGHT, plays, silent
from tests.emulators.openai_realtime import Call, Emulator, Say

pytestmark = [pytest.mark.browser, pytest.mark.asterisk]

GREETING, ANSWER = (
    "Welcome. What is it about, and what may we do for you?",
    "Your invoice is paid. Is there anything else?",
)
GREETING_HZ, ANSWER_HZ, CALLER_HZ, PERSON_HZ = 400.0, 800.0, 1250.0, 600.0
PERSON = "+12125570206"  # rings for two seconds, then sounds 600 Hz
LISTED_WITHIN = 1000  # ms
FLOW = f"""
    vars:
      topic: {{type: string, default: invoice}}
      card: {{type: string, default: "4111", sensitive: true}}
    steps:
      - answer: {{}}
      - record: start
      - id: talk
        converse:
          provider: openai
          greeting: "{GREETING}"
          prompt: You answer questions about invoices.
          tools:
            find_invoice:
              description: The caller's latest invoice.
              input: {{}}
              http: {{endpoint: shop, path: "/invoice"}}
          exits: {{answered: {{description: Nothing is left to ask.}}}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - hangup: {{}}
"""
ROW = "table.calls tbody tr"


@asynccontextmanager
async def shop() -> AsyncIterator[str]:
    """The company's own HTTP endpoint."""
    app = web.Application()

    async def invoice(request: web.Request) -> web.Response:
        return web.json_response({"state": "paid"})

    app.router.add_get("/invoice", invoice)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def talking(open_company: Open, folder: Path, **options: object) -> AsyncIterator[Company]:
    """A company whose AI voice greets, looks something up and answers, each in a tone of its own."""
    emulator = Emulator(
        script=[Call("find_invoice"), Say(ANSWER), Say(ANSWER), Say(ANSWER)],
        heard=["Is my invoice paid?", "Thank you.", "Really?"],
        voice=singing({GREETING: GREETING_HZ, ANSWER: ANSWER_HZ}),
    )
    async with emulator, shop() as url:
        resources = f"endpoints: {{shop: {{base_url: '{url}'}}}}\ndestinations: {{front-desk: 'tel:{PERSON}'}}"
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        kept = {"storage": folder.parent / "kept", "files": {"resources.yaml": resources}}
        async with open_company(folder, FLOW, voices=voices, **kept, **options) as house:
            yield house


async def opened(page: Page, house: Company) -> None:
    await page.goto(f"{house.engine.url}/console/")
    await expect(page.locator("[data-connection=live]")).to_be_visible()


def is_ear(task: asyncio.Task[object]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "").startswith("Ear.")


async def sounds(caller: Caller, seconds: float) -> asyncio.Task[None]:
    """The caller makes a tone, beside what the test looks at."""
    return asyncio.create_task(caller.sounds(CALLER_HZ, seconds))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """For the flows and records of an engine, and of the one after it."""
    both = tmp_path / "a", tmp_path / "b"
    for folder in both:
        folder.mkdir()
    return both


async def test_a_supervisor_follows_a_call_listens_and_brings_in_a_person(
    browser: Browser, open_company: Open, folders: tuple[Path, Path]
) -> None:
    async with talking(open_company, folders[0]) as house:
        browsed = await browse(browser)
        page = browsed.page
        await page.add_init_script(EAR)
        await opened(page, house)
        await expect(page.get_by_text("No live calls")).to_be_visible()
        await page.evaluate(
            """new MutationObserver(() => {
                 if (document.querySelector("table.calls tbody tr")) window.listed ??= Date.now();
               }).observe(document.body, {subtree: true, childList: true})"""
        )
        caller = await house.call()
        call = await house.live(caller)
        await expect(page.locator(ROW)).to_have_count(1)
        took = await page.evaluate("window.listed") - call.record.started.timestamp() * 1000
        assert took < LISTED_WITHIN, f"the list showed the call after {took:.0f} ms"

        # The transcript grows as it is said; the step it is in is lit.
        await page.locator(f"{ROW} a").click()
        log = page.get_by_role("log")
        await expect(page.locator(".node.live")).to_have_attribute("data-step", "steps/2")
        await expect(log.get_by_text(GREETING)).to_be_visible()
        await expect(page.get_by_role("row", name="topic invoice")).to_be_visible()
        await expect(page.get_by_role("row", name="card hidden")).to_be_visible()
        assert "4111" not in await page.content()

        # Listening: the caller is left, the AI right.
        await page.get_by_role("button", name="Listen").click()
        await expect(page.locator("[data-listening=on]")).to_be_visible()
        await caller.hears_nothing()
        speaks = await sounds(caller, 2.0)
        await plays(page, LEFT, CALLER_HZ)
        await silent(page, RIGHT, CALLER_HZ)
        await speaks
        await plays(page, RIGHT, ANSWER_HZ)
        await silent(page, LEFT, ANSWER_HZ)
        await expect(log.get_by_text("Is my invoice paid?")).to_be_visible()
        await expect(log.get_by_text("find_invoice")).to_be_visible()
        await expect(log.get_by_text(ANSWER).first).to_be_visible()
        await browsed.fine("a live call")

        # A person is rung while the talk goes on, and takes the call; listening goes on.
        await page.get_by_role("button", name="Hand off").click()
        await page.get_by_role("radio", name="front-desk").check()
        await page.get_by_role("button", name="Ring front-desk").click()
        await expect(log.locator("[data-status=ringing]")).to_contain_text("A supervisor rings")
        await expect(log.locator("[data-status=answered]")).to_be_visible()
        await expect(page.locator(".badge[data-state=with_person]")).to_be_visible()
        await plays(page, RIGHT, PERSON_HZ)
        speaks = await sounds(caller, 2.0)
        await plays(page, LEFT, CALLER_HZ)
        await silent(page, RIGHT, CALLER_HZ)
        await speaks

        # Hanging up asks first.
        await page.get_by_role("button", name="Hang up").click()
        await expect(page.get_by_role("dialog")).to_contain_text("are cut off at once")
        await page.get_by_role("dialog").get_by_role("button", name="Hang up").click()
        record = await house.ended(caller)
        assert record.hangup_by == "supervisor"
        assert [attempt.status for attempt in record.attempts] == ["answered"]

        # What was live is a past call now, with its recording in step with the transcript.
        await expect(page.get_by_role("slider")).to_be_visible()
        await page.get_by_role("link", name="Past calls").first.click()
        await page.get_by_label("Number, or a part of it").fill(record.caller[-4:])
        await page.keyboard.press("Enter")
        await page.locator(f"{ROW} a").click()
        said = next(entry for entry in record.transcript if entry.text == ANSWER)
        after = (said.at - record.started).total_seconds()
        await page.get_by_role("button", name=f"Play from 0:{int(after):02}").last.click()
        await expect(page.locator(".line.now")).to_have_count(1)
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await browsed.fine("a past call")
        # Nobody listens any more: the channels that overheard the call are gone a moment after it.
        await until(lambda: not [task for task in asyncio.all_tasks() if is_ear(task)], "the end of what listened")


async def test_a_role_sees_and_does_what_it_may(
    browser: Browser, open_company: Open, folders: tuple[Path, Path]
) -> None:
    file = folders[0] / "tokens.json"
    tokens = {role: create(file, f"a-{role}", role, datetime.now(UTC)) for role in ("viewer", "supervisor")}
    console = ConsoleSettings(tokens=file, audit=folders[0] / "audit")
    async with talking(open_company, folders[0], console=console) as house:
        caller = await house.call(caller="+14155550123")
        seen: dict[str, str] = {}
        for role, token in tokens.items():
            browsed = await browse(browser)
            page = await browsed.go(f"{house.engine.url}/console/")
            await page.get_by_label("Your token").fill(token)
            await page.get_by_role("button", name="Log in").click()
            await page.locator(f"{ROW} a").click()
            await expect(page.get_by_role("log").get_by_text("Welcome")).to_be_visible()
            await expect(page.locator(".node.live")).to_be_visible()
            seen[role] = await page.content()
            await browsed.fine(role)
            rights = 1 if role == "supervisor" else 0
            for action in ("Listen", "Hand off", "Hang up"):
                await expect(page.get_by_role("button", name=action, exact=True)).to_have_count(rights)
            if role == "viewer":
                url = f"/api/v1/calls/{house.record(caller).id}/hangup"
                ask = "async url => (await fetch(url, {method: 'POST', headers: {'Idempotency-Key': 'a'}})).status"
                assert await page.evaluate(ask, url) == 403
            await page.get_by_role("button", name="Log out").click()
            await expect(page.get_by_label("Your token")).to_be_visible()
        assert "4155550123" not in seen["viewer"]
        assert "invoice" not in seen["viewer"].split("Variables")[-1]
        assert "4155550123" in seen["supervisor"]
        await caller.hangs_up()
        await house.ended(caller)


async def test_the_page_outlives_its_engine(browser: Browser, open_company: Open, folders: tuple[Path, Path]) -> None:
    file = folders[0] / "tokens.json"
    token = create(file, "ada", "supervisor", datetime.now(UTC))
    console = ConsoleSettings(tokens=file, audit=folders[0] / "audit")
    browsed = await browse(browser)
    page = browsed.page
    async with talking(open_company, folders[0], console=console) as house:
        await browsed.go(f"{house.engine.url}/console/")
        await page.get_by_label("Your token").fill(token)
        await page.keyboard.press("Enter")
        caller = await house.call(caller="+14155550101")
        await expect(page.locator(ROW)).to_contain_text("+14155550101")
        port = URL(house.engine.url).port
        await caller.hangs_up()
        await house.ended(caller)
    await expect(page.locator("[data-banner=lost]")).to_be_visible()
    await expect(page.locator("[data-connection=live]")).to_have_count(0)
    async with talking(open_company, folders[1], console=console, http=HttpSettings(port=port)) as house:
        caller = await house.call(caller="+14155550102")
        await expect(page.locator("[data-connection=live]")).to_be_visible()
        await expect(page.locator("[data-banner=lost]")).to_have_count(0)
        await expect(page.locator(ROW)).to_contain_text("+14155550102")
        await expect(page.get_by_text("+14155550101")).to_have_count(0)
        await browsed.fine("the page after a restart of the engine")
        await caller.hangs_up()
        await house.ended(caller)


async def test_keys_and_the_way_that_they_choose(
    browser: Browser, open_company: Open, folders: tuple[Path, Path]
) -> None:
    flow = """
        steps:
          - id: choice
            menu: {say: Press one for the news., timeout: 30s}
            outcomes:
              "1": [{id: news, say: "The news of today are long, and who listens to them needs patience, as you do."}]
              no_input: []
              no_match: []
          - hangup: {}
    """
    async with open_company(folders[0], flow) as house:
        browsed = await browse(browser)
        page = await browsed.go(f"{house.engine.url}/console/")
        caller = await house.call()
        await page.locator(f"{ROW} a").click()
        live = page.locator(".node.live")
        await expect(live).to_have_attribute("data-step", "steps/0")
        await caller.hears_something()
        await caller.presses("1")
        await expect(page.locator("[data-kind=key]")).to_contain_text("Key 1")
        await expect(live).to_have_attribute("data-step", "steps/0/outcomes/1/0")
        await expect(page.locator(".node.taken[data-step='steps/0']")).to_be_visible()
        assert await page.locator(".edge.taken").count() == 2
        await page.get_by_text("The way as text").click()
        await expect(page.get_by_role("listitem")).to_have_text(["choice (menu) → 1", "news (say): now"])
        await house.ended(caller)
        await expect(page.locator("[data-kind=call]").last).to_contain_text("The call ends")
        await expect(live).to_have_count(0)
