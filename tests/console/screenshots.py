"""The pictures of docs/console.md, taken of a running engine with real calls on it: `make screenshots`."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from asterisk import sandbox
from engine.settings import ConsoleSettings
from tests.calls.company import RINGS_FOR_EVER, Company, company
from tests.console.browsing import PHONE, browse, chromium
from tests.emulators.openai_realtime import Call, Emulator, Say
from tests.emulators.openai_realtime.sound import tone_voice

IMAGES = Path(__file__).parents[2] / "docs" / "images"
FLOWS = {
    "reception.flow.yaml": """
flow: reception
vars:
  topic: {type: string, default: invoice}
  customer: {type: string, default: "4711"}
  card: {type: string, default: "4111", sensitive: true}
handlers:
  - {event: dtmf, digits: "0", goto: person}
  - {event: error, goto: person}
steps:
  - answer: {}
  - record: start
  - id: talk
    converse:
      provider: openai
      greeting: Welcome to Analytical Engines. I can look up invoices, and press zero whenever you want a person.
      prompt: You answer questions about invoices.
      tools:
        find_invoice:
          description: The caller's latest invoice.
          input: {}
          set: {topic: invoice of March}
      exits:
        person: {description: The caller wants a person.}
        goodbye: {description: Nothing is left to ask.}
    outcomes:
      person: [{goto: person}]
      silence: [{goto: person}]
      max_duration: [{goto: person}]
      provider_error: [{goto: person}]
  - say: Thank you for calling.
  - hangup: {result: answered}
sections:
  person:
    - say: One moment, please.
    - id: handoff
      transfer:
        attempts:
          - {targets: [billing], timeout: 5s}
          - {targets: [front-desk], timeout: 20s}
      outcomes:
        failed: [{say: Nobody is there. Please call again.}, {hangup: {result: nobody}}]
""",
    "sales.flow.yaml": """
flow: sales
steps:
  - say: I am ringing sales.
  - id: ring
    transfer: {attempts: [{targets: [sales], timeout: 300s}]}
    outcomes: {failed: []}
""",
    "payment.flow.yaml": """
flow: payment
steps:
  - id: card
    gather: {say: Please key in your card number., digits: 16, sensitive: true, timeout: 60s}
    outcomes: {no_input: [], no_match: []}
""",
    "resources.yaml": f"""
destinations: {{billing: "tel:+12125550103", front-desk: "tel:+12125570106", sales: "tel:{RINGS_FOR_EVER}"}}
groups: {{everybody: [billing, front-desk]}}
""",
    "routes.yaml": """
routes:
  - {match: {did: "+12125550120"}, flow: sales}
  - {match: {did: "+12125550130"}, flow: payment}
  - {flow: reception}
""",
}
ANSWER = (
    "Your invoice of the third of March is over 148 pounds and 20 pence, for twelve hours of the analytical engine."
)
LAST = "I will note that two of the twelve hours are wrong. May I ring a colleague for you?"
HEARD = ["Hello, this is Ada Lovelace. What was my last invoice for?", "I was only there for ten hours."]


async def voice(text: str) -> bytes:
    """Takes as long to answer as models do."""
    await asyncio.sleep(0.64)
    return await tone_voice(text)


async def main() -> None:
    """Place the calls, then take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    emulator = Emulator(script=[Call("find_invoice"), Say(ANSWER), Say(LAST)], heard=HEARD, voice=voice)
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):  # so that no picture tells of this machine
        folder = Path(name)
        flows = folder / "flows"
        flows.mkdir()
        for file, text in FLOWS.items():
            (flows / file).write_text(text)
        async with emulator, sandbox.pair(folder / "asterisk") as (pbx, world), chromium() as browser:
            voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
            kept = {"storage": Path("kept"), "console": ConsoleSettings(tokens=Path("tokens"), audit=Path("audit"))}
            async with company(pbx, world, folder, flows=flows, voices=voices, **kept) as house:
                await pictures(house, browser)


async def pictures(house: Company, browser: Browser) -> None:
    """See `main`."""
    grace = await house.call(caller="+14155550142", name="Grace Hopper")
    await grace.hears_something()
    await grace.presses("0")
    alan = await house.call("+12125550120", caller="+442079460018")
    await house.connected(grace)
    emmy = await house.call("+12125550130", caller="+4930901820", name="Emmy Noether")
    ada = await house.call(caller="+14155550199", name="Ada Lovelace")
    for words in HEARD:
        await ada.hears_something()
        await ada.hears_nothing()
        await ada.says(words)
    mary = await house.call(caller="+14155550177")
    page = (await browse(browser)).page
    await page.goto(f"{house.engine.url}/console/")
    await expect(page.get_by_role("link", name="+14155550177")).to_be_visible()
    await expect(page.locator("[data-state=ringing_target]")).to_be_visible()
    await take(page, "live")
    await page.get_by_role("link", name="Ada Lovelace").click()
    await expect(page.get_by_role("log").get_by_text(LAST)).to_be_visible()
    await expect(page.locator(".node.live")).to_be_visible()
    await take(page, "call")
    phone = (await browse(browser, viewport=PHONE, color_scheme="dark", device_scale_factor=2)).page
    await phone.goto(page.url)
    await expect(phone.get_by_role("log").get_by_text(LAST)).to_be_visible()
    await take(phone, "phone")
    for caller in (grace, alan, emmy, ada, mary):
        await caller.hangs_up()
        await house.ended(caller)
    await page.goto(f"{house.engine.url}/console/past?number=0199")
    await page.locator("table.calls a").click()
    await expect(page.get_by_role("button", name="Play from 0:00").first).to_be_visible()
    await page.get_by_role("slider").fill("9500")
    await expect(page.locator(".line.now")).to_be_visible()
    await take(page, "past")


async def take(page: Page, name: str) -> None:
    """One picture, with nothing that moves or blinks in it."""
    await page.screenshot(path=IMAGES / f"console-{name}.png", animations="disabled", caret="hide")


if __name__ == "__main__":
    asyncio.run(main())
