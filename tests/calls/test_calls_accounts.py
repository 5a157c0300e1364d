"""Two tenants on one engine and one flow: each talks with an account of its own, and no key is to be found anywhere."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from aiohttp import ClientSession
from company import Open
from hearing import seconds_of, seconds_of_tone, singing
from pydantic import SecretStr

from engine.logs import configure
from engine.settings import LogSettings
from tests.emulators.gpt_live import LiveEmulator
from tests.emulators.openai_realtime import Emulator, Faults
from tests.emulators.openai_realtime.server import Conversation

pytestmark = pytest.mark.asterisk

HOUSE_KEY, ACME_KEY, BELLA_KEY = "house-key-1111111", "acme-key-2222222", "bella-key-3333333"
GREETING, SORRY = "Welcome, what can I do for you?", "There is no credit left."
ACME, BELLA, OURS = "+12125550100", "+12125550101", "+12125550102"

FLOW = f"""
    steps:
      - id: talk
        converse:
          provider: [openai, gpt-live]
          greeting: "{GREETING}"
          connect_within: 2s
          silence: {{after: 1500ms, reprompts: 0}}
          exits: {{bye: {{}}}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - hangup: {{result: "${{steps.talk.outcome}}"}}
"""
ROUTES = f"""
    routes:
      - {{match: {{did: "{ACME}"}}, flow: test, account: acme}}
      - {{match: {{did: "{BELLA}"}}, flow: test, account: bella}}
      - {{match: {{did: "{OURS}"}}, flow: test}}
"""


class Tells(Conversation):
    """A vendor that repeats the key in its complaint."""

    async def run(self) -> None:
        key = self.emulator.surface().key(self.request)
        if key == ACME_KEY:
            self.faults = Faults(error=("insufficient_quota", f"{SORRY} ({key})"))
        await super().run()


def account(**voices: str) -> dict[str, dict[str, SecretStr]]:
    return {name.replace("_", "-"): {"api_key": SecretStr(key)} for name, key in voices.items()}


def key_of(conversation: Conversation) -> str:
    return conversation.emulator.surface().key(conversation.request)


async def test_each_with_a_key_of_its_own_and_none_is_told(
    open_company: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = io.StringIO()
    secrets = (HOUSE_KEY, ACME_KEY, BELLA_KEY)
    accounts = {
        "acme": account(openai=ACME_KEY, gpt_live=ACME_KEY), "bella": account(openai=BELLA_KEY, gpt_live=BELLA_KEY),
    }  # fmt: skip
    async with (
        Emulator(voice=singing({}), talk=Tells) as emulator,
        LiveEmulator(voice=singing({}), pace=1.0) as live,
    ):
        voices = {
            "openai": {"api_key": HOUSE_KEY, "base_url": emulator.url},
            "gpt-live": {"api_key": HOUSE_KEY, "base_url": live.url},
        }
        async with open_company(FLOW, routes=ROUTES, voices=voices, accounts=accounts) as house:
            configure(LogSettings(level="debug", format="json"), secrets=secrets, stream=log)
            records = []
            for number in (ACME, BELLA, OURS):
                caller = await house.call(number)
                records.append(await house.ended(caller))
                _, heard = await caller.recording()
                assert seconds_of_tone(heard, 300.0) > seconds_of(GREETING) - 0.4, f"{number} is greeted"
            told = "".join(record.model_dump_json() for record in records)
            pages = [await page(house.engine.url + path) for path in ("/metrics", "/flows", "/readyz", "/livez")]
            voices_in_use = repr(vars(house.engine.services.voices)["_loaded"])
        keys = [key_of(conversation) for conversation in emulator.conversations]
        assert keys == [ACME_KEY, BELLA_KEY, HOUSE_KEY]
        assert [key_of(conversation) for conversation in live.conversations] == [ACME_KEY], "who takes over is acme's"
    assert [record.result for record in records] == ["silence"] * 3
    assert [record.steps[0].data.get("account") for record in records] == ["acme", "bella", None]
    assert "insufficient_quota" in "".join(entry.text for entry in records[0].transcript)
    assert '"account": "acme"' in log.getvalue()
    stored = database(tmp_path)
    assert records[0].id.encode() in stored
    places = {
        "log": log.getvalue() + caplog.text, "records": told, "database": stored.decode("latin-1"),
        "pages": "".join(pages), "objects": voices_in_use, "processes": command_lines(),
    }  # fmt: skip
    leaks = [(place, secret) for place, text in places.items() for secret in secrets if secret in text]
    assert leaks == []


async def page(url: str) -> str:
    async with ClientSession() as http, http.get(url) as response:
        return await response.text()


def database(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("calls.db*"))


def command_lines() -> str:
    """What `ps` shows of every process."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended meanwhile
    assert found
    return "\n".join(found)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """`configure` changes what the process logs."""
    root = logging.getLogger()
    handlers, level, config = list(root.handlers), root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)
