"""How the page looks and is worked with, in every view, in both themes, on a telephone, without a mouse."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.console.browsing import PHONE, Browsed, browse
from tests.console.standin import StandIn, serving

pytestmark = pytest.mark.browser

LIVE, PAST = "1772616600.3", "1772530200.9"  # calls of standin.json
VIEWS = {
    "live": ("/console/", "Live calls"),
    "call": (f"/console/calls/{LIVE}", "Ada Lovelace"),
    "past": ("/console/past", "Past calls"),
    "past call": (f"/console/calls/{PAST}", "Ada Lovelace"),
    "no call": ("/console/calls/nobody", None),
}
ROWS = "table.calls tbody tr"


async def opened(browser: Browser, standin: StandIn, path: str = "/console/", **options: Any) -> tuple[Browsed, Page]:
    browsed = await browse(browser, **options)
    return browsed, await browsed.go(standin.url + path)


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}], ids=["light", "dark", "phone"])
async def test_every_view_is_open_to_everybody(browser: Browser, options: dict[str, Any]) -> None:
    async with serving() as standin:
        browsed, page = await opened(browser, standin, **options)
        for view, (path, heading) in VIEWS.items():
            await page.goto(standin.url + path)
            if heading:
                await expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
            if view == "no call":
                await expect(page.get_by_text("There is no such call")).to_be_visible()
            if "call" in view and heading and view != "past":
                await expect(page.locator(".node.taken").first).to_be_visible()
            if view == "past call":
                await expect(page.locator("[data-wave] canvas, [data-wave] div").first).to_be_attached()
            await expect(page.locator("[data-connection=live]")).to_be_visible()
            await browsed.fine(view)
            await browsed.fits()
        await page.goto(standin.url + f"/console/calls/{LIVE}")
        for button, dialog in (("Hang up", "Hang up"), ("Hand off", "Hand off"), ("Keys and help", "Keys")):
            await page.get_by_role("button", name=button, exact=True).click()
            await expect(page.get_by_role("dialog", name=dialog)).to_be_visible()
            await browsed.fine(f"the dialog {dialog}")
            await page.keyboard.press("Escape")
            await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_who_has_no_session_gives_a_token(browser: Browser) -> None:
    async with serving(role="") as standin:
        browsed, page = await opened(browser, standin)
        await expect(page.get_by_label("Your token")).to_be_visible()
        await browsed.fine("the login")
        await page.get_by_label("Your token").fill("hf_wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("This token is not known")
        await browsed.fine("the login after a wrong token")
        await page.get_by_label("Your token").fill("viewer")
        await page.keyboard.press("Enter")
        await expect(page.locator(ROWS)).to_have_count(7)
        await expect(page.get_by_role("link", name="Past calls")).to_have_count(0)
        await page.get_by_role("link", name="Ada Lovelace").click()
        await expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
        for action in ("Listen", "Hand off", "Hang up"):
            await expect(page.get_by_role("button", name=action)).to_have_count(0)


async def test_without_a_mouse(browser: Browser) -> None:
    async with serving() as standin:
        browsed, page = await opened(browser, standin)
        await expect(page.locator(ROWS)).to_have_count(7)
        await page.keyboard.press("/")
        await page.keyboard.type("lovelace")
        await expect(page.locator(ROWS)).to_have_count(1)
        await page.keyboard.press("ControlOrMeta+a")
        await page.keyboard.press("Delete")
        await page.keyboard.press("Escape")
        for key in ("j", "j", "ArrowDown", "k", "j"):
            await page.keyboard.press(key)
        await expect(page.get_by_role("link", name="Ada Lovelace")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator(ROWS)).to_have_count(7)
        await page.keyboard.press("?")
        await page.get_by_role("checkbox", name="Single letters are keys").uncheck()
        await page.keyboard.press("Escape")
        await page.keyboard.press("/")
        await expect(page.get_by_role("searchbox")).not_to_be_focused()
        await browsed.fine()


async def test_filters_and_a_pause(browser: Browser) -> None:
    async with serving() as standin:
        _, page = await opened(browser, standin)
        await page.get_by_role("combobox", name="State").select_option("With the AI")
        await expect(page.locator(ROWS)).to_have_count(3)
        await page.get_by_role("combobox", name="Flow").select_option("clinic/appointments")
        await expect(page.locator(ROWS)).to_have_count(1)
        await page.get_by_role("combobox", name="State").select_option("With a person")
        await expect(page.get_by_text("No live call is like that")).to_be_visible()
        await page.get_by_role("combobox", name="State").select_option("")
        await page.get_by_role("combobox", name="Flow").select_option("")
        await page.get_by_role("button", name="Pause updates").click()
        await expect(page.get_by_text("Updates are paused")).to_be_visible()
        changed = {**standin.answers["calls"][2], "state": "thinking"}
        await standin.tell("call", changed)
        state = page.locator(f"tr[data-call='{LIVE}'] [data-state]")
        await expect(state).to_have_attribute("data-state", "ai_speaking")
        await page.get_by_role("button", name="Go on").click()
        await expect(state).to_have_attribute("data-state", "thinking")


@pytest.mark.parametrize("role", ["supervisor", "viewer"])
async def test_a_call_that_ended_while_the_line_was_lost_is_live_no_more(browser: Browser, role: str) -> None:
    async with serving(role) as standin:
        _, page = await opened(browser, standin, f"/console/calls/{LIVE}")
        await expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
        await expect(page.locator("[data-connection=live]")).to_be_visible()
        standin.down.set()
        await expect(page.locator("[data-banner=lost]")).to_be_visible()
        over = standin.answers["details"][LIVE]
        standin.answers["calls"] = [call for call in standin.answers["calls"] if call["id"] != LIVE]
        over["live"] = False
        over["call"] |= {"state": "ended", "outcome": "caller_hung_up", "ended": over["call"]["started"]}
        standin.down.clear()
        await expect(page.locator("[data-connection=live]")).to_be_visible()
        await expect(page.get_by_role("button", name="Hang up")).to_have_count(0)
        await expect(page.locator("[data-state=ai_speaking]")).to_have_count(0)
        if role == "supervisor":
            await expect(page.get_by_text("Caller hung up").first).to_be_visible()


async def test_nothing_stale_is_shown_as_live(browser: Browser) -> None:
    async with serving() as standin:
        browsed, page = await opened(browser, standin)
        await expect(page.locator("[data-connection=live]")).to_be_visible()
        standin.down.set()
        await expect(page.locator("[data-banner=lost]")).to_be_visible()
        await expect(page.locator("[data-connection=live]")).to_have_count(0)
        await browsed.fine("the page without its engine")
        standin.answers["calls"] = standin.answers["calls"][:2]
        standin.down.clear()
        await expect(page.locator("[data-banner=lost]")).to_have_count(0)
        await expect(page.locator(ROWS)).to_have_count(2)
        await expect(page.get_by_role("button", name="Load the page again")).to_have_count(0)
        await standin.tell("engine", {**standin.answers["engine"], "version": "9.0.0", "draining": True})
        await expect(page.get_by_role("button", name="Load the page again")).to_be_visible()
        await expect(page.get_by_text("The engine takes no new calls")).to_be_visible()
        await browsed.fine("the page of an older engine")


async def test_actions_are_confirmed(browser: Browser) -> None:
    async with serving() as standin:
        _, page = await opened(browser, standin, f"/console/calls/{LIVE}")
        await page.get_by_role("button", name="Hang up").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("The caller is cut off at once, without a word")
        await dialog.get_by_role("button", name="Keep the call").click()
        assert standin.asked == []
        await page.get_by_role("button", name="Hang up").click()
        await dialog.get_by_role("button", name="Hang up").click()
        await expect(page.get_by_text("The call is being ended.")).to_be_visible()
        await page.get_by_role("button", name="Hand off").click()
        await expect(dialog).to_contain_text("the AI leaves it")
        await expect(dialog.get_by_role("button", name="Choose whom to ring")).to_be_disabled()
        await dialog.get_by_role("radio", name="front-desk").check()
        await dialog.get_by_role("button", name="Ring front-desk").click()
        await expect(page.get_by_text("Ringing front-desk for Ada Lovelace.")).to_be_visible()
        assert standin.asked == [f"POST /calls/{LIVE}/hangup", f'POST /calls/{LIVE}/handoff {{"target":"front-desk"}}']


async def test_a_transcript_grows_and_waits_for_who_reads_back(browser: Browser) -> None:
    async with serving() as standin:
        _, page = await opened(browser, standin, f"/console/calls/{LIVE}", viewport={"width": 1400, "height": 640})
        log = page.get_by_role("log")
        await expect(log.get_by_text("It is the four one five …")).to_be_visible()
        await page.wait_for_function("() => document.querySelector('.talk').scrollTop > 50")
        await log.evaluate("box => { box.style.scrollBehavior = 'auto'; box.scrollTop = 0; }")
        await expect(page.get_by_role("button", name="To what is said now")).to_be_visible()
        said = {
            "id": "said-9", "at": 0, "kind": "said", "role": "caller", "text": "That was all.", "interrupted": False,
            "step_flow": "demo/reception", "step_path": "steps/1",
        }  # fmt: skip
        await standin.tell("entry", {"call": LIVE, "entry": said})
        await expect(log.get_by_text("That was all.")).to_be_attached()
        assert await log.evaluate("box => box.scrollTop") == 0
        await page.get_by_role("button", name="To what is said now").click()
        await expect(log.get_by_text("That was all.")).to_be_in_viewport()


async def test_a_recording_and_its_transcript_go_together(browser: Browser) -> None:
    async with serving() as standin:
        browsed, page = await opened(browser, standin, f"/console/calls/{PAST}")
        await expect(page.get_by_role("slider")).to_be_visible()
        await page.get_by_role("button", name="Play from 0:30").click()
        await expect(page.locator("#entry-said-3")).to_have_class("line now")
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        await page.get_by_role("slider").fill("20000")
        await expect(page.locator(".line.now")).to_have_count(1)
        await expect(page.locator("#entry-said-3")).not_to_have_class("line now")
        await browsed.fine()


async def test_the_theme_is_kept(browser: Browser) -> None:
    async with serving() as standin:
        _, page = await opened(browser, standin, color_scheme="light")
        ground = "() => getComputedStyle(document.documentElement).backgroundColor"
        light = await page.evaluate(ground)
        await page.get_by_role("button", name="Colours: as the system").click()
        await page.get_by_role("button", name="Colours: light").click()
        assert await page.evaluate(ground) != light
        await page.reload()
        await expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
        assert await page.evaluate(ground) != light
