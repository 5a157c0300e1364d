"""What is seen of a live conversation: who speaks, who thinks, what is being said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.call import Call
from engine.console.views import state_of
from engine.virtual import Says, VirtualLine, virtual_time
from engine.watch import Watch
from providers.voice import UserText, VoiceText
from tests.engine.verbs.talking import Directed, asks, audio, finish, interrupts, provider_of, talk


class Seen(Watch):
    """Notes the states of a call, each as it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []
        self.saying: list[tuple[str, str]] = []
        self.response_ms: int | None = None
        self.voices: set[str | None] = set()
        self.told = self._look

    def _look(self, call: Call) -> None:
        if (state := state_of(call)) not in self.states[-1:]:
            self.states.append(state)
        said = call.live.caller_says, call.live.voice_says
        if said != ("", "") and said not in self.saying[-1:]:
            self.saying.append(said)
        self.response_ms = call.live.response_ms
        self.voices.add(call.live.voice)


@virtual_time
async def test_who_speaks_and_who_thinks(tmp_path: Path) -> None:
    watch = Seen()
    await talk(tmp_path, asks, [Says("Pizza."), finish()], watch=watch)
    states = [state for state in watch.states if state != "in_flow"]
    assert states == [
        "starting", "thinking", "ai_speaking", "listening", "caller_speaking", "thinking", "ai_speaking", "listening",
        "ended",
    ]  # fmt: skip
    assert watch.response_ms == 300, "what the virtual voice takes to think"
    assert watch.voices == {None, "virtual"}


@virtual_time
async def test_who_is_interrupted_speaks_no_more(tmp_path: Path) -> None:
    watch = Seen()
    greeting = "greeting: A very long greeting, it is."
    await talk(tmp_path, interrupts, [Says("Sorry."), finish()], fields=greeting, watch=watch)
    at = watch.states.index("ai_speaking")
    assert watch.states[at : at + 4] == ["ai_speaking", "caller_speaking", "thinking", "ai_speaking"]


@virtual_time
async def test_what_is_being_said_is_seen_before_it_is_written_down(tmp_path: Path) -> None:
    watch = Seen()

    provider = provider_of(Directed)

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.2)
        voice: Any = provider.voices[0]
        voice.tells(UserText("I would", final=False), UserText("I would like", final=False))
        await line.caller.waits(0.1)
        voice.tells(UserText("I would like pizza."))
        await line.caller.waits(0.1)
        voice.tells(audio("a", 200), VoiceText("Cer", "a"), VoiceText("tainly", "a"))
        await line.caller.waits(0.1)
        voice.tells(VoiceText("Certainly.", "a", final=True))
        await line.caller.waits(0.5)
        await line.caller.hangs_up()

    over = await talk(tmp_path, script, fields="silence: {after: 9s}", provider=provider, watch=watch)
    assert watch.saying == [("I would", ""), ("I would like", ""), ("", "Cer"), ("", "Certainly")]
    assert [said.text for said in over.record.transcript] == ["I would like pizza.", "Certainly."]
    assert (over.call.live.caller_says, over.call.live.voice_says) == ("", "")


@virtual_time
async def test_nobody_watches(tmp_path: Path) -> None:
    over = await talk(tmp_path, asks, [Says("Pizza."), finish()])
    assert over.services.watch.told is None
