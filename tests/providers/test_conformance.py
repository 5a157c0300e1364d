"""Every voice that comes with Hookflash passes the kit that any voice must pass."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar

import pytest

from providers import azure_openai, azure_voice_live, gemini, grok, openai, rehearsal
from providers.conformance import Ability, Asks, Conformance, Counterpart, Nothing, Says, Scene
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


class TestGrok(Vendors):
    vendor = "grok"
    capabilities = grok.CAPABILITIES


class TestGemini(Vendors):
    vendor = "gemini"
    capabilities = gemini.CAPABILITIES
    plays: ClassVar[frozenset[Ability]] = PLAYS - {"truncations"} | {"takes_back"}


class TestRehearsal(Conformance):
    """It has no other side: its script is the scene."""

    capabilities = rehearsal.CAPABILITIES
    plays: ClassVar[frozenset[Ability]] = frozenset()

    @pytest.fixture(autouse=True)
    def _a_synthesiser(self, synthesiser: list[str]) -> None:
        self.flite = json.dumps(synthesiser)

    @asynccontextmanager
    async def counterpart(self, scene: Scene) -> AsyncIterator[Counterpart]:
        script: list[object] = []
        for reply in scene.replies:
            script.append({"hear": "any"})
            match reply:
                case Says(text):
                    script.append({"say": text})
                case Asks(calls):
                    script += [{"call": {"tool": name, "with": dict(arguments)}} for name, arguments in calls]
                case Nothing():
                    pass
        yield Counterpart(rehearsal.provider({"flite": self.flite}), {"script": script})


def test_every_voice_of_ours_is_here() -> None:
    tried = {kind.vendor for kind in Vendors.__subclasses__()}
    assert tried == set(VENDORS)
