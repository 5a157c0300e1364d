"""Accounts: each tenant's calls with their own keys and limits, and nobody's trouble is another's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.accounts import FULL, Limited, current, using
from engine.breaker import FAILURES
from engine.loading import FlowsError, accounts_of, load_library, voices_of
from engine.serve import StartError, open_voices
from engine.settings_sources import SettingsError, load_settings, unknown_variables
from engine.verb import installed
from engine.virtual import Says, VirtualProvider, VirtualVoice, virtual_services
from engine.virtual.clock import virtual_time
from engine.voices import Voices
from flows.language import Language
from flows.routes import Route
from providers.voice import Session, VoiceError
from tests.engine.verbs.phone import dial, flow, library
from tests.engine.verbs.talking import asks, converse, finish, outcome, provider_of, quiet

HOUSE = {"openai": {"api_key": "sk-house", "base_url": "ws://127.0.0.1:1/v1", "model": "m"}, "rehearsal": {}}
ACCOUNTS = {"acme": {"openai": {"api_key": "sk-acme"}}, "bella": {"openai": {"api_key": "sk-bella", "model": "own"}}}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Which providers were made, with which settings."""
    made: list[tuple[str, dict[str, str]]] = []

    def load(name: str, given: dict[str, str]) -> VirtualProvider:
        if name == "openai" and "api_key" not in given:
            raise VoiceError("the openai voice needs an API key: set OPENAI_API_KEY", code="setting")
        made.append((name, dict(given)))
        return VirtualProvider(name=name)

    monkeypatch.setattr("engine.voices.load", load)
    monkeypatch.setattr("engine.loading.known_voices", lambda: None)
    return made


# ── Providers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_account_has_its_own_keys_and_what_it_does_not_set_is_the_engines(loaded: Any) -> None:
    voices = Voices(HOUSE, ACCOUNTS)
    own = voices.get("openai")
    with using("acme"):
        acme = voices.get("openai")
        assert voices.get("openai") is acme
    with using("bella"):
        bella = voices.get("openai")
    assert len({id(own), id(acme), id(bella)}) == 3
    url = "ws://127.0.0.1:1/v1"
    assert loaded == [
        ("openai", HOUSE["openai"]),
        ("openai", {"api_key": "sk-acme", "base_url": url, "model": "m", "account": "acme"}),
        ("openai", {"api_key": "sk-bella", "base_url": url, "model": "own", "account": "bella"}),
    ]


def test_nobody_talks_with_anothers_key(loaded: Any) -> None:
    voices = Voices(HOUSE, {"acme": {}})
    with using("acme"), pytest.raises(VoiceError) as error:
        voices.get("openai")
    assert error.value.code == "setting"
    assert "account 'acme'" in str(error.value)
    assert "HOOKFLASH_ACCOUNTS_ACME_OPENAI_API_KEY" in str(error.value)
    assert "sk-" not in str(error.value)


def test_a_voice_without_secrets_is_there_for_every_account(loaded: Any) -> None:
    voices = Voices(HOUSE, ACCOUNTS)
    own = voices.get("rehearsal")
    with using("acme"):
        assert voices.get("rehearsal") is not own, "what it is made of may be an account's"
        assert voices.breaker("rehearsal") is voices.breakers["acme/rehearsal"]


def test_a_provider_that_is_handed_in_is_everybodys_unless_an_account_is_named(loaded: Any) -> None:
    voices, one, two = Voices(), VirtualProvider(), VirtualProvider()
    voices.add("virtual", one)
    voices.add("virtual", two, "bella")
    with using("acme"):
        assert voices.get("virtual") is one
        assert voices.breaker("virtual") is voices.breakers["virtual"]
    with using("bella"):
        assert voices.get("virtual") is two
    assert loaded == []


def test_a_voice_of_parts_is_made_of_the_accounts() -> None:
    parts = {"listening": "openai", "text": "openai", "speech": "rehearsal"}
    given = {"cascade": parts, "openai": {"api_key": "sk-house"}, "rehearsal": {"flite": "/bin/sh"}}
    voices = Voices(given, {"acme": {"openai": {"api_key": "sk-acme"}}})
    with using("acme"):
        made = voices.get("cascade")
        assert made.text_model() is voices.get("openai").text_model()
    assert made.text_model() is not voices.get("openai").text_model()
    with using("bella"), pytest.raises(VoiceError, match="HOOKFLASH_ACCOUNTS_BELLA_OPENAI_API_KEY") as error:
        voices.get("cascade")
    assert str(error.value).count("account 'bella'") == 1


def test_an_account_does_not_use_what_lies_about_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/run/secrets/house.json")
    with using("acme"), pytest.raises(VoiceError, match="needs the key file") as error:
        Voices({"google": {"project": "house"}}).get("google")
    assert "HOOKFLASH_ACCOUNTS_ACME_GOOGLE_" in str(error.value)


def test_the_account_goes_with_the_tasks_of_a_call() -> None:
    async def inner() -> str | None:
        return current()

    async def outer() -> tuple[str | None, str | None]:
        with using("acme"):
            task = asyncio.create_task(inner())
        return await task, current()

    assert asyncio.run(outer()) == ("acme", None)


def test_a_broken_circuit_of_one_account_is_whole_for_the_others(loaded: Any) -> None:
    voices = Voices(HOUSE, ACCOUNTS)
    with using("acme"):
        for _ in range(FAILURES):
            voices.breaker("openai").failed(0.0)
        assert not voices.breaker("openai").allows(1.0)
    with using("bella"):
        assert voices.breaker("openai").allows(1.0)
    assert voices.breaker("openai").allows(1.0)
    assert voices.breakers.resting(1.0) == ("acme/openai",)


async def test_so_many_sessions_and_no_more(loaded: Any) -> None:
    voices = Voices({"openai": HOUSE["openai"] | {"max_sessions": "2"}}, ACCOUNTS)
    provider = voices.get("openai")
    assert "max_sessions" not in loaded[0][1], "the provider knows nothing of it"
    first, _ = provider.voice(Session()), provider.voice(Session())
    with pytest.raises(VoiceError, match="the engine has 2 sessions of openai open, as many as it may") as error:
        provider.voice(Session())
    assert error.value.code == FULL
    await first.close()
    await first.close()  # twice is once
    provider.voice(Session())
    with pytest.raises(VoiceError):
        provider.voice(Session())


def test_a_counted_voice_is_as_the_one_that_it_counts() -> None:
    class Metered(VirtualVoice):
        def settle(self) -> str:
            return "the bill"

    counted: Any = Limited(provider_of(Metered), 1, "the engine").voice(Session())
    assert counted.settle() == "the bill"
    missing = {name for name in dir(VirtualVoice) if not name.startswith("_")} - set(dir(counted))
    assert not missing


def test_a_limit_that_is_none(loaded: Any) -> None:
    with pytest.raises(VoiceError, match="max_sessions of openai must be a number, not 'many'"):
        Voices({"openai": HOUSE["openai"] | {"max_sessions": "many"}}).get("openai")


# ── Calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def tenants(**named: VirtualProvider) -> Any:
    """Services with a provider `openai` for each account."""
    services = virtual_services(VirtualProvider(name="openai"), default_voice="openai")
    for account, provider in named.items():
        services.voices.add("openai", provider, account)
    return services


@virtual_time
async def test_a_call_talks_with_the_account_of_its_flow(tmp_path: Path) -> None:
    acme = VirtualProvider([[Says("Nine dollars."), finish()]], name="openai")
    bella = VirtualProvider((), name="openai")
    services = tenants(acme=acme, bella=bella)
    loaded = library(tmp_path, converse("provider: openai\ngreeting: Hello.", head="defaults: {account: acme}"))
    over = await dial(loaded, asks, provider=acme, services=services)
    assert outcome(over) == "done_"
    assert (len(acme.voices), len(bella.voices)) == (1, 0)
    assert over.record.steps[0].data["account"] == "acme"
    assert current() is None


@virtual_time
async def test_one_tenants_exhausted_quota_is_nobody_elses(tmp_path: Path) -> None:
    quota = VoiceError("openai refused the connection with HTTP 429: the quota is used up", code="http_429")
    acme = VirtualProvider((), name="openai", connects_after=quota)
    bella = VirtualProvider([[Says("Soup."), finish()]], name="openai")
    services = tenants(acme=acme, bella=bella)
    fields = "provider: openai\ngreeting: Hello."
    for _ in range(FAILURES):
        loaded = library(tmp_path, converse(fields, head="defaults: {account: acme}"))
        over = await dial(loaded, quiet, provider=acme, services=services)
        assert outcome(over) == "provider_error"
    assert services.voices.breakers.resting(asyncio.get_running_loop().time()) == ("acme/openai",)
    loaded = library(tmp_path, converse(fields, head="defaults: {account: bella}"))
    over = await dial(loaded, asks, provider=bella, services=services)
    assert outcome(over) == "done_"


@virtual_time
async def test_a_full_account_lets_the_next_voice_talk_and_breaks_no_circuit(tmp_path: Path) -> None:
    second = VirtualProvider([[Says("Soup."), finish()]] * FAILURES, name="grok")
    services = tenants()
    services.voices.add("openai", Limited(VirtualProvider(name="openai"), 0, "account 'acme'"), "acme")
    services.voices.add("grok", second)
    fields = "provider: [openai, grok]\ngreeting: Hello."
    loaded = library(tmp_path, converse(fields, head="defaults: {account: acme}"))
    for _ in range(FAILURES):
        over = await dial(loaded, asks, provider=second, services=services)
        assert outcome(over) == "done_"
    assert services.voices.breakers.resting(asyncio.get_running_loop().time()) == ()


# ── Flows and routes ──────────────────────────────────────────────────────────────────────────────────────────────────

FLOWS = {
    "a.flow.yaml": "flow: a\ndefaults: {account: bella}\nsteps: [{call: {flow: c}}]\n",
    "b.flow.yaml": flow("- converse: {provider: openai, exits: {x: {}}}\n  catch: []", name="b"),
    "c.flow.yaml": flow("- converse: {provider: grok, exits: {x: {}}}\n  catch: []", name="c"),
    "d.flow.yaml": flow("- converse: {provider: gemini, exits: {x: {}}}\n  catch: []", name="d"),
    "routes.yaml": """
routes:
  - {match: {did: "+1"}, flow: b, account: acme}
  - {match: {did: "+2"}, flow: b}
  - {match: {did: "+3"}, flow: a}
  - {match: {did: "+4"}, flow: a, account: acme}
""",
}


def house(folder: Path, **changed: str) -> Any:
    for name, text in {**FLOWS, **{name.replace("_", "."): text for name, text in changed.items()}}.items():
        (folder / name).write_text(text)
    return load_library((folder,), accounts=("acme", "bella"))


def test_the_route_comes_before_the_flow(tmp_path: Path) -> None:
    found = house(tmp_path)
    routes = [found.route({"did": f"+{number}"}) for number in (1, 2, 3, 4)]
    assert all(isinstance(route, Route) for route in routes)
    assert [route.account for route in routes] == ["acme", None, None, "acme"]
    assert found.flows["a"].account == "bella"
    assert found.flows["b"].account is None


def test_every_account_has_its_voices_opened(tmp_path: Path) -> None:
    found = house(tmp_path)
    assert voices_of(found) == {
        "acme": ["grok", "openai"],  # b, and c by a
        "bella": ["grok"],
        None: ["gemini", "openai"],  # b without an account, and d, which no route leads to
    }
    assert {account: sorted(one.name for one in flows) for account, flows in accounts_of(found).items()} == {
        "acme": ["a", "b", "c"], "bella": ["a", "c"], None: ["b", "d"],
    }  # fmt: skip


def test_a_key_that_an_account_lacks_stops_the_start(
    tmp_path: Path, loaded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = house(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOOKFLASH_VOICES_OPENAI_API_KEY", "k")
    monkeypatch.setenv("HOOKFLASH_ACCOUNTS_ACME_OPENAI_MODEL", "m")
    with pytest.raises(StartError, match=r"account 'acme'.*HOOKFLASH_ACCOUNTS_ACME_OPENAI_"):
        open_voices(load_settings(), found)
    monkeypatch.setenv("HOOKFLASH_ACCOUNTS_ACME_OPENAI_API_KEY", "k2")
    open_voices(load_settings(), found)
    assert [given["api_key"] for name, given in loaded if name == "openai"][-2:] == ["k2", "k"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("routes.yaml", 'routes: [{match: {did: "+1"}, flow: a, account: acmee}]', "1:49: error[E302]: unknown account 'acmee' (did you mean 'acme'?)"),  # noqa: E501
        ("a.flow.yaml", "flow: a\ndefaults: {account: acmi}\nsteps: [{hangup: {}}]\n", "2:21: error[E302]: unknown account 'acmi' (did you mean 'acme'?)"),  # noqa: E501
        ("a.flow.yaml", "flow: a\ndefaults: {account: 7}\nsteps: [{hangup: {}}]\n", "2:21: error[E203]: 'account' is the name of an account"),  # noqa: E501
    ],
)  # fmt: skip
def test_an_unknown_account_is_a_mistake(tmp_path: Path, file: str, text: str, said: str) -> None:
    for name, content in FLOWS.items():
        (tmp_path / name).write_text(content)
    (tmp_path / file).write_text(text)
    with pytest.raises(FlowsError) as error:
        load_library((tmp_path,), accounts=("acme", "bella"))
    assert said in str(error.value)


def test_an_account_without_any_in_the_settings(tmp_path: Path) -> None:
    for name, content in FLOWS.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(FlowsError, match=r"unknown account 'acme' \(there is none\)"):
        load_library((tmp_path,), accounts=())
    assert Language(installed()).load([tmp_path]).library is not None, "who does not know the settings cannot tell"


# ── Settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_environment_and_secret_files_hold_keys(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "key").write_text("sk-file\n")
    for name, value in {
        "ACME_OPENAI_API_KEY": "sk-a", "ACME_OPENAI_MODEL": "m", "ACME_AZURE_OPENAI_API_KEY": "az",
        "BIG_CORP_GPT_LIVE_API_KEY_FILE": "key", "AZURE_OPENAI_MAX_SESSIONS": "4",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"HOOKFLASH_ACCOUNTS_{name}", value)
    settings = load_settings()
    assert settings.account_settings() == {
        "acme": {"openai": {"api_key": "sk-a", "model": "m"}, "azure-openai": {"api_key": "az"}},
        "big_corp": {"gpt-live": {"api_key": "sk-file"}},
        "azure": {"openai": {"max_sessions": "4"}},
    }
    assert {"sk-a", "az", "sk-file"} <= set(settings.secrets())
    assert "sk-a" not in repr(settings)
    monkeypatch.setenv("HOOKFLASH_ACCOUNTS_ACME_OPENI_API_KEY", "x")
    assert unknown_variables() == [
        "HOOKFLASH_ACCOUNTS_ACME_OPENI_API_KEY is no setting: it is HOOKFLASH_ACCOUNTS_<account>_<voice>_<setting>"
    ]


def test_a_file_holds_no_key_but_where_it_is(here: Path) -> None:
    (here / "key").write_text("sk-file")
    (here / "hookflash.yaml").write_text("accounts: {acme: {openai: {api_key_file: key, max_sessions: 3}}}")
    assert load_settings().account_settings() == {"acme": {"openai": {"api_key": "sk-file", "max_sessions": "3"}}}
    (here / "hookflash.yaml").write_text("accounts: {acme: {openai: {api_key: sk-written}}}")
    with pytest.raises(SettingsError, match="HOOKFLASH_ACCOUNTS_ACME_OPENAI_API_KEY") as error:
        load_settings()
    assert "sk-written" not in str(error.value)
    (here / "hookflash.yaml").write_text("accounts: {Acme-1: {openai: {model: m}}}")
    with pytest.raises(SettingsError, match="small letters"):
        load_settings()


def test_the_log_names_the_account_and_hides_its_key(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.logs import Redaction

    monkeypatch.setenv("HOOKFLASH_ACCOUNTS_ACME_OPENAI_API_KEY", "not-like-a-key-at-all")
    clean = Redaction(load_settings().secrets())
    with capture_logs():
        line = clean(None, "info", {"event": "refused not-like-a-key-at-all", "account": "acme"})
    assert line == {"event": "refused ***", "account": "acme"}
