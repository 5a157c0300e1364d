"""The kit's tests of beginnings and ends: refusals, silence, broken connections, limits, closing, what is left."""

from __future__ import annotations

import asyncio
from traceback import format_exception

import pytest

from providers.conformance.owner import WITHIN, Owner, held, silence, speech
from providers.conformance.play import Stage, acted, played
from providers.conformance.scene import Counterpart, Scene
from providers.conformance.talks import GREETING, LONG
from providers.voice import Audio, Expiring, Failed, Ready, Resumed, TurnDone, VoiceError


class Failures(Stage):
    """What the engine relies on when things go wrong, and when they end."""

    @acted(Scene(fault="refuses"))
    async def test_a_refusal_is_typed(self, other: Counterpart) -> None:
        """`connect` raises a VoiceError with a code and words, in time, without the key; or, where a provider refuses
        only after it has connected, a Failed like it ends the session.
        """
        session = self.session(other, {})
        voice = other.provider.voice(session)
        told, code, whole = "", "", ""
        try:
            async with asyncio.timeout(WITHIN):
                await voice.connect()
                async for event in voice.events():
                    if isinstance(event, Failed):
                        told, code, whole = event.message, event.code, repr(event)
        except VoiceError as error:
            told, code, whole = str(error), error.code, "".join(format_exception(error))
        assert told.strip(), "the refusal was never told"
        assert code
        assert not other.secret or other.secret not in whole, "the key stands in the error"
        await voice.close()

    @acted(Scene(fault="hangs"))
    async def test_connecting_can_be_given_up(self, other: Counterpart) -> None:
        """A bound of the owner's cancels `connect`, and nothing is left."""
        voice = other.provider.voice(self.session(other, {}))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await voice.connect()
        await voice.close()

    @played(Scene(slow=True), needs=("drops",))
    async def test_a_broken_connection_is_told(self, owner: Owner, other: Counterpart) -> None:
        """In the middle of a word: a Failed and the end, or an answer that failed, or the session goes on elsewhere."""
        await owner.voice.say(LONG)
        await owner.next(Audio)
        await other.drop()

        def told() -> bool:
            return bool(owner.of((Failed, Resumed)) or [done for done in owner.of(TurnDone) if done.status == "failed"])

        await owner.until(told, "a Failed, a Resumed or an answer that failed")
        for failed in owner.of(Failed):
            assert failed.code
            if not failed.recoverable:
                await owner.end()
                assert owner.events[-1] == failed, "a failure that ends the session is the last that is told"
        for act in (owner.voice.say(GREETING), owner.voice.interrupt(), owner.hear(speech(200, owner.format))):
            async with asyncio.timeout(WITHIN):
                await act

    @played(Scene(fault="garbage"))
    async def test_nonsense_is_survived(self, owner: Owner, other: Counterpart) -> None:
        """Frames that make no sense are Warned at most."""
        await owner.voice.say(GREETING)
        assert (await owner.next(TurnDone)).status == "completed"
        assert owner.of(Failed) == []

    @played(Scene(fault="expires"))
    async def test_a_limit_is_told_before_it_is_reached(self, owner: Owner, other: Counterpart) -> None:
        """The session will end soon: the owner is told, or it goes on elsewhere by itself."""
        await owner.voice.say(GREETING)
        told = await owner.next((Expiring, Resumed))
        assert isinstance(told, Resumed) or 0 <= told.seconds <= 120
        await owner.next(TurnDone)

    @played(Scene(fault="deaf"))
    async def test_a_provider_that_reads_nothing_blocks_nobody(self, owner: Owner, other: Counterpart) -> None:
        """Half a minute of audio is taken or dropped in the time of a few frames."""
        clock = asyncio.get_running_loop().time
        second = silence(1000, owner.format)
        for _ in range(30):
            began = clock()
            await owner.hear(second)
            assert clock() - began < 1.0, "send_audio waited for the provider"

    @acted(Scene(slow=True))
    async def test_close_may_come_at_any_time(self, other: Counterpart) -> None:
        """Before `connect`, in the middle of a word, twice; afterwards nothing does anything."""
        await other.provider.voice(self.session(other, {})).close()
        async with self.talking(other) as owner:
            await owner.voice.say(LONG)
            await owner.next(Audio)
            await owner.voice.close()
            await owner.end()
            events = len(owner.events)
            await owner.voice.close()
            await owner.voice.say(GREETING)
            await owner.voice.answer()
            await owner.voice.interrupt()
            await owner.voice.truncate("item", 100)
            await owner.voice.tool_result("call", "{}")
            await owner.voice.update(instructions="Nobody hears this.")
            await owner.hear(speech(200, owner.format))
            assert len(owner.events) == events

    @acted()
    async def test_ready_comes_first(self, other: Counterpart) -> None:
        """Before anything else, without being asked."""
        async with self.talking(other) as owner:
            await owner.next(Ready)
            assert isinstance(owner.events[0], Ready)

    @acted()
    async def test_it_gives_what_it_claims(self, other: Counterpart) -> None:
        """The provider tells the same of itself as its module, and has the parts that it names."""
        provider, claims = other.provider, self.capabilities
        assert provider.name
        assert provider.capabilities.formats == claims.formats
        assert (provider.text_model() is not None) == provider.capabilities.writes
        assert (provider.recogniser(format=claims.formats[0]) is not None) == provider.capabilities.recognises

    def test_conversations_leave_nothing_behind(self) -> None:
        """Neither threads nor sockets, whatever the first one in a process has set up for all."""

        async def talk() -> None:
            async with self.staged(Scene()) as other, self.talking(other) as owner:
                await owner.voice.say(GREETING)
                await owner.next(TurnDone)

        asyncio.run(talk())
        before = held()
        for _ in range(3):
            asyncio.run(talk())
        threads, sockets = (now - then for now, then in zip(held(), before, strict=True))
        assert max(threads, sockets) <= 0, f"three talks left {threads} threads and {sockets} sockets behind"
