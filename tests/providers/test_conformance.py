"""Every voice that comes with Hookflash passes the kit that any voice must pass."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

import pytest

from providers import azure_openai, azure_speech, azure_voice_live, gemini, google, gpt_live, grok, openai, rehearsal
from providers.conformance import Ability, Asks, Conformance, Counterpart, Says, Scene
from tests.emulators.stage import PLAYS, emulated
from tests.emulators.vendors import VENDORS


class Vendors(Conformance):
    """A voice against its vendor's emulator."""

    plays = PLAYS
    vendor: ClassVar[str]

    def counterpart(self, scene: Scene) -> AbstractAsyncContextManager[Counterpart]:
        return emulated(VENDORS[self.vendor], scene)


class TestOpenAI(Vendors):
    vendor = "openai"
    capabilities = openai.CAPABILITIES


class TestAzureOpenAI(Vendors):
    vendor = "azure-openai"
    capabilities = azure_openai.CAPABILITIES


class TestAzureVoiceLive(Vendors):
    vendor = "azure-voice-live"
    capabilities = azure_voice_live.CAPABILITIES


CASCADES: frozenset[Ability] = PLAYS - {"truncations", "expires"}


class TestGoogle(Vendors):
    vendor = "google"
    capabilities = google.CAPABILITIES
    plays: ClassVar[frozenset[Ability]] = CASCADES - {"hangs", "garbage"}


class TestAzureSpeech(Vendors):
    vendor = "azure-speech"
    capabilities = azure_speech.CAPABILITIES
    plays: ClassVar[frozenset[Ability]] = CASCADES


class TestGrok(Vendors):
    vendor = "grok"
    capabilities = grok.CAPABILITIES


class TestGemini(Vendors):
    vendor = "gemini"
    capabilities = gemini.CAPABILITIES
    plays: ClassVar[frozenset[Ability]] = PLAYS - {"truncations"} | {"takes_back"}


class TestGptLive(Vendors):
    """It speaks and hears at the same time, and what it calls tools for is done beside it."""

    vendor = "gpt-live"
    capabilities = gpt_live.CAPABILITIES
    plays: ClassVar[frozenset[Ability]] = PLAYS - {"truncations", "empty"}  # it owes no answer


class TestRehearsal(Conformance):
    """It has no other side: its script is the scene."""

    capabilities = rehearsal.CAPABILITIES
    plays: ClassVar[frozenset[Ability]] = frozenset({"script", "slow"})

    @pytest.fixture(autouse=True)
    def _a_synthesiser(self, synthesiser: list[str]) -> None:
        *shell, script, name = synthesiser
        self.flite = [*shell, script, name]
        self.slow = [*shell, f"sleep 0.3; {script}", name]

    @asynccontextmanager
    async def counterpart(self, scene: Scene) -> AsyncIterator[Counterpart]:
        script: list[object] = []
        for before, reply in zip((None, *scene.replies), scene.replies, strict=False):
            if not isinstance(before, Asks):
                script.append({"hear": "any"})
            if isinstance(reply, Says):
                script.append({"say": reply.text})
            elif isinstance(reply, Asks):
                script += [{"call": {"tool": name, "with": dict(arguments)}} for name, arguments in reply.calls]
        flite = json.dumps(self.slow if scene.slow else self.flite)
        yield Counterpart(rehearsal.provider({"flite": flite}), {"script": script})


def test_every_voice_of_ours_is_here() -> None:
    tried = {kind.vendor for kind in Vendors.__subclasses__()}
    assert tried == set(VENDORS)
