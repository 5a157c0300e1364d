"""Google's parts against an emulated Google, with the vendor's own clients in between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from providers.google import Google, provider
from providers.google_client import told, with_country
from providers.google_listening import NAME, GoogleRecogniser
from providers.parts import Heard
from providers.voice import (
    ALAW,
    ULAW,
    Audio,
    AudioFormat,
    Failed,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    Usage,
    Used,
    UserText,
    VoiceError,
)
from tests.emulators.chat_completions import Answer
from tests.emulators.chat_completions import Emulator as Model
from tests.emulators.google_speech import KEY, TOKEN, Emulator, Faults
from tests.emulators.google_speech.listening import by_pitch
from tests.emulators.openai_realtime import silence, tone
from tests.providers.conftest import owned

QUIET = silence(700)
PAUSED = 1000  # ms: a word and the silence behind it


@asynccontextmanager
async def google(emulator: Emulator, **settings: str) -> AsyncIterator[Google]:
    made = provider({**emulator.settings, **settings})
    try:
        yield made
    finally:
        await made.close()


class Listening:
    """Somebody who reads a recogniser."""

    def __init__(self, recogniser: GoogleRecogniser) -> None:
        self.recogniser = recogniser
        self.heard: list[Heard] = []
        self._changed = asyncio.Condition()

    async def read(self) -> None:
        async for event in self.recogniser.events():
            self.heard.append(event)
            async with self._changed:
                self._changed.notify_all()

    async def steadily(self, audio: bytes) -> None:
        """Each tenth of a second when the one before was sent."""
        for start in range(0, len(audio), 800):
            await self.recogniser.send_audio(audio[start : start + 800])
            while self.recogniser._sent < self.recogniser._upto:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    def texts(self) -> list[str]:
        return [event.text for event in self.heard if isinstance(event, UserText) and event.final]

    def failures(self) -> list[Failed]:
        return [event for event in self.heard if isinstance(event, Failed)]

    async def until(self, number: int = 1) -> list[str]:
        """So many final texts."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.texts()) >= number)
        return self.texts()


@asynccontextmanager
async def listening(emulator: Emulator, **rotation: int) -> AsyncIterator[Listening]:
    async with google(emulator) as made:
        recogniser = made.recogniser(format=ULAW)
        for name, value in rotation.items():
            setattr(recogniser, f"_{name}", value)
        await recogniser.connect()
        listener = Listening(recogniser)
        async with asyncio.TaskGroup() as group:
            group.create_task(listener.read())
            try:
                yield listener
            finally:
                await recogniser.close()
    assert emulator.problems == []


async def test_it_writes_down_what_is_said() -> None:
    async with Emulator(["A pizza, please.", "No, two."]) as emulator, listening(emulator) as caller:
        await caller.recogniser.send_audio(silence(300) + tone(700) + QUIET)
        await caller.until(1)
        await caller.recogniser.send_audio(tone(300) + QUIET)
        assert await caller.until(2) == ["A pizza, please.", "No, two."]
        kinds = [type(event) for event in caller.heard if not isinstance(event, UserText)]
        assert kinds == [SpeechStarted, SpeechStopped] * 2
        texts = [(event.item, event.final) for event in caller.heard if isinstance(event, UserText)]
        sure = [event.confidence for event in caller.heard if isinstance(event, UserText) and event.final]
        assert sure == [pytest.approx(0.9)] * 2
        names = ("speech_1", False), ("speech_1", True), ("speech_2", False), ("speech_2", True)
        assert tuple(dict.fromkeys(texts)) == names, "preliminary texts bear the name of the final one"
        assert b"".join(map(bytes, emulator.audio)) == silence(300) + tone(700) + QUIET + tone(300) + QUIET
        [opening] = emulator.openings
        config = opening.streaming_config.config
        assert opening.recognizer == "projects/bellas/locations/global/recognizers/_"
        assert (config.model, list(config.language_codes)) == ("telephony", ["en-US"])


async def test_audio_goes_out_in_pieces_of_100_ms() -> None:
    async with Emulator() as emulator, listening(emulator) as caller:
        for _ in range(50):
            await caller.recogniser.send_audio(tone(20))
            await asyncio.sleep(0)
        await emulator.until(lambda: sum(emulator.pieces) >= 50 * 160)
        assert len(emulator.pieces) <= 10


async def test_more_streams_than_a_connection_takes_get_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.google_client.STREAMS", 2)
    async with Emulator() as emulator, google(emulator) as made:
        open_now = [made.recogniser(format=ULAW) for _ in range(3)]
        for recogniser in open_now:
            await recogniser.connect()
        await emulator.until(lambda: len(emulator.openings) == 3)
        assert len(made._listening._open) == 2
        for recogniser in open_now:
            await recogniser.close()
        again = made.recogniser(format=ULAW)
        await again.connect()
        assert len(made._listening._open) == 2
        await again.close()


async def test_finish_writes_what_is_left_and_ends() -> None:
    async with Emulator(["Goodbye."]) as emulator, google(emulator) as made:
        recogniser = made.recogniser(format=ULAW)
        await recogniser.connect()
        await recogniser.send_audio(tone(430))
        await recogniser.finish()
        await recogniser.send_audio(tone(100))
        heard = [event async for event in recogniser.events()]
        assert [event.text for event in heard if isinstance(event, UserText) and event.final] == ["Goodbye."]
        assert bytes(emulator.audio[0]) == tone(430)
        await recogniser.close()
        await recogniser.close()


async def test_streams_are_changed_between_phrases_and_no_word_is_lost() -> None:
    texts = {300.0: "one", 500.0: "two", 800.0: "three", 1200.0: "four"}
    async with Emulator(by_pitch(texts)) as emulator, listening(emulator, rotate_after=2000) as caller:
        for number, pitch in enumerate(texts, 1):
            await caller.steadily(tone(600, hz=pitch) + QUIET)
            assert await caller.until(number) == list(texts.values())[:number]
        await caller.steadily(silence(100))
        await emulator.until(lambda: len(emulator.audio) > 1)


async def test_a_phrase_that_is_under_way_when_a_stream_must_end_is_heard_again() -> None:
    async with (
        Emulator(by_pitch({300.0: "one", 900.0: "two"})) as emulator,
        listening(emulator, rotate_after=2500, rotate_at_last=3000) as caller,
    ):
        await caller.steadily(tone(600, hz=300) + QUIET)
        await caller.until(1)
        await caller.steadily(tone(2200, hz=900) + QUIET)
        assert await caller.until(2) == ["one", "two"]
        assert len(emulator.audio) > 1
        assert tone(2200, hz=900) in bytes(emulator.audio[1]), "from its beginning"
        assert [type(event) for event in caller.heard].count(SpeechStarted) == 2


@pytest.mark.parametrize("status", [grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OUT_OF_RANGE])
async def test_a_stream_that_breaks_is_replaced_and_what_it_owed_is_heard_again(status: grpc.StatusCode) -> None:
    faults, texts = Faults(aborts_after=(400, 1600), status=status), by_pitch({300.0: "one", 900.0: "two"})
    async with Emulator(texts, faults=faults) as emulator, listening(emulator) as caller:
        await caller.recogniser.send_audio(tone(600, hz=300))
        await emulator.until(lambda: len(emulator.audio) == 2)
        await caller.recogniser.send_audio(QUIET)
        assert await caller.until(1) == ["one"]
        await caller.recogniser.send_audio(tone(600, hz=900) + QUIET)
        assert await caller.until(2) == ["one", "two"]
        assert len(emulator.audio) == 3
        assert caller.failures() == []


async def test_a_server_that_breaks_again_and_again_is_left() -> None:
    async with Emulator(faults=Faults(aborts_after=(100,) * 9)) as emulator, listening(emulator) as caller:
        await caller.recogniser.send_audio(silence(1000))
        await asyncio.wait_for(caller.recogniser._life, 10)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert [failed.code for failed in caller.failures()] == ["aborted"]
        assert len(emulator.audio) == 3


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "GOOGLE_APPLICATION_CREDENTIALS"),
        (grpc.StatusCode.PERMISSION_DENIED, "enable it"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota"),
    ],
)
async def test_what_no_other_try_mends_ends_it_at_once(status: grpc.StatusCode, words: str) -> None:
    async with Emulator(faults=Faults(refuses=status)) as emulator, listening(emulator) as caller:
        await asyncio.wait_for(caller.recogniser._life, 10)  # type: ignore[arg-type]
        await asyncio.sleep(0)
        [failed] = caller.failures()
        assert (failed.code, failed.recoverable) == (status.name.lower(), False)
        assert words in failed.message
        assert KEY not in failed.message


async def test_texts_that_come_twice_or_late_count_once() -> None:
    faults = Faults(duplicate=True, late=True)
    async with Emulator(["One.", "Two."], faults=faults) as emulator, listening(emulator) as caller:
        await caller.recogniser.send_audio(tone(700) + QUIET)
        await caller.until(1)
        await caller.recogniser.send_audio(tone(700) + QUIET)
        assert await caller.until(2) == ["One.", "Two."]
        assert [type(event) for event in caller.heard if not isinstance(event, UserText)] == [
            SpeechStarted, SpeechStopped,
        ] * 2  # fmt: skip
        assert {event.item for event in caller.heard if isinstance(event, UserText)} == {"speech_1", "speech_2"}


async def test_where_the_line_is_silent_google_hears_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.google_listening.SILENT_AFTER", 0.05)
    async with Emulator(faults=Faults(patience=0.5)) as emulator, listening(emulator) as caller:
        await emulator.until(lambda: sum(emulator.pieces) >= 10 * 400)
        assert len(emulator.audio) == 1
        assert set(emulator.audio[0]) == {0xFF}
        assert caller.failures() == []


async def test_a_server_that_reads_nothing_is_left_for_another_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.google_listening.TAKE_WITHIN", 0.3)
    monkeypatch.setattr("providers.google_listening.REST_WITHIN", 0.3)
    async with Emulator(["Hello."], faults=Faults(stops_reading=200)) as emulator, listening(emulator) as caller:
        for _ in range(40):  # more than the network holds
            await caller.recogniser.send_audio(silence(1000))
        await caller.recogniser.send_audio(tone(500) + QUIET)
        assert await caller.until(1) == ["Hello."]
        assert len(emulator.audio) == 2


async def test_what_is_too_much_is_dropped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.google_listening.KEPT", 1000)
    async with Emulator() as emulator, listening(emulator) as caller:
        await caller.recogniser.send_audio(silence(3000))
        await emulator.until(lambda: sum(emulator.pieces) >= 8000)
        assert [failed.code for failed in caller.failures()] == ["backlog"]
        assert caller.failures()[0].recoverable


async def test_hints_endpointing_and_the_law_are_asked_for() -> None:
    options = {"hints": ["Bella's", "calzone"], "endpointing": "short", "listening_model": "chirp_3"}
    async with Emulator() as emulator, google(emulator, text_url="http://127.0.0.1:1/v1") as made:
        voice = made.voice(Session(language="de", format=ALAW, options=options))
        async with owned(voice):
            await voice.send_audio(b"\xd5" * 800)
            await emulator.until(lambda: bool(emulator.pieces))
        streaming = emulator.openings[0].streaming_config
        phrases = streaming.config.adaptation.phrase_sets[0].inline_phrase_set.phrases
        assert [phrase.value for phrase in phrases] == ["Bella's", "calzone"]
        assert list(streaming.config.language_codes) == ["de-DE"]
        assert streaming.config.explicit_decoding_config.encoding == 3
        assert streaming.config.model == "chirp_3"
        assert streaming.streaming_features.endpointing_sensitivity == 3


# ── Speech ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def pieces(*texts: str | asyncio.Event | float) -> AsyncIterator[str]:
    for text in texts:
        if isinstance(text, str):
            yield text
        elif isinstance(text, float):
            await asyncio.sleep(text)
        else:
            await text.wait()


async def test_prompts_are_spoken_to_the_letter() -> None:
    async with Emulator() as emulator, google(emulator) as made:
        audio = await made.speaker().speak("Hello there. Bye.", voice=None, language=None, format=ULAW)
        assert audio == tone(60 * 13) + tone(60 * 4)
        assert emulator.said == [["Hello there. ", "Bye."]]
        assert emulator.speech[0].voice.name == "en-US-Chirp3-HD-Kore"
        assert emulator.problems == []


@pytest.mark.parametrize(
    ("voice", "language", "name"),
    [
        ("Charon", "de", "de-DE-Chirp3-HD-Charon"),
        ("fr-FR-Chirp3-HD-Leda", "de", "fr-FR-Chirp3-HD-Leda"),
        (None, "pt", "pt-BR-Chirp3-HD-Kore"),
        (None, "es-MX", "es-MX-Chirp3-HD-Kore"),
    ],
)
async def test_voices_are_called_by_character_or_whole_name(voice: str | None, language: str, name: str) -> None:
    async with Emulator() as emulator, google(emulator) as made:
        await made.speaker().speak("Hello.", voice=voice, language=language, format=ALAW)
        assert emulator.speech[0].voice.name == name
        assert emulator.problems == []


async def test_one_stream_speaks_while_the_text_grows() -> None:
    rest = asyncio.Event()
    async with Emulator() as emulator, google(emulator) as made:
        sounds = made.speaker().utter(pieces("One. ", rest, "Two."), voice=None, language=None, format=ULAW)
        first = await anext(sounds)
        rest.set()
        audio = bytes(first) + b"".join([bytes(sound) async for sound in sounds])  # type: ignore[arg-type]
        assert audio == tone(60 * 5) + tone(60 * 4)
        assert emulator.said == [["One. ", "Two."]]


async def test_after_a_long_pause_the_rest_has_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.google_speaking.TEXT_WITHIN", 0.05)
    async with Emulator(faults=Faults(speech_patience=5.0)) as emulator, google(emulator) as made:
        texts = pieces("One. ", 0.3, "Two.")
        sounds = [s async for s in made.speaker().utter(texts, voice=None, language=None, format=ULAW)]
        assert b"".join(sounds) == tone(60 * 5) + tone(60 * 4)  # type: ignore[arg-type]
        assert emulator.said == [["One. "], ["Two."]]


async def test_speech_that_is_not_wanted_any_more_stops_at_once() -> None:
    async with Emulator() as emulator, google(emulator) as made:
        sounds = made.speaker().utter(pieces("One. ", asyncio.Event()), voice=None, language=None, format=ULAW)
        await anext(sounds)
        await sounds.aclose()
        await emulator.until(lambda: emulator.open == 0)
        assert emulator.said == [["One. "]]


async def test_a_stream_that_breaks_before_it_spoke_is_tried_once_more() -> None:
    async with Emulator(faults=Faults(speech_aborts=(0,))) as emulator, google(emulator) as made:
        audio = await made.speaker().speak("Hello.", voice=None, language=None, format=ULAW)
        assert audio == tone(60 * 6)
        assert emulator.said == [["Hello."], ["Hello."]]


@pytest.mark.parametrize(
    ("faults", "code", "passing"),
    [
        (Faults(speech_aborts=(0, 0)), "aborted", True),
        (Faults(speech_aborts=(1,)), "aborted", True),
        (Faults(speech_silent=True), "timeout", True),
        (Faults(speech_refuses=grpc.StatusCode.RESOURCE_EXHAUSTED), "resource_exhausted", False),
        (Faults(speech_refuses=grpc.StatusCode.UNAUTHENTICATED), "unauthenticated", False),
    ],
)
async def test_speech_that_fails_says_why(
    faults: Faults, code: str, passing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("providers.google_speaking.SOUND_WITHIN", 0.3)
    async with Emulator(faults=faults) as emulator, google(emulator) as made:
        with pytest.raises(VoiceError) as error:
            await made.speaker().speak("Hello there.", voice=None, language=None, format=ULAW)
        assert (error.value.code, error.value.recoverable) == (code, passing)
        assert KEY not in str(error.value)
        assert len(emulator.said) == (2 if faults.speech_aborts == (0, 0) else 1)


# ── The voice ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PRICE = Tool("price", "What it costs", {"type": "object", "properties": {"of": {"type": "string"}}})


async def test_a_conversation_with_a_tool_and_barge_in() -> None:
    asks = Answer("One moment.", calls=(("call_1", "price", '{"of": "pizza"}'),))
    answers = [asks, Answer("Nine dollars. " * 20), Answer("Goodbye.")]
    async with (
        Model(answers) as model,
        Emulator(["What is a pizza?", "That will do."]) as emulator,
        google(emulator, text_url=model.url, text_model="gemini") as made,
    ):
        session = Session("Be kind.", tools=(PRICE,))
        async with owned(made.voice(session)) as owner:
            await owner.voice.say("Bella's.")
            await owner.next(TurnDone)
            await owner.hear(tone(500) + QUIET)
            call = await owner.next(ToolCall)
            assert (call.name, call.arguments) == ("price", {"of": "pizza"})
            await owner.voice.tool_result(call.id, "9")
            done = await owner.next(TurnDone, 2)
            assert Used(Usage(characters=len("Nine dollars. " * 20), model="Chirp3-HD")) in owner.of(Used)
            await owner.hear(tone(500))
            await owner.next(SpeechStarted, 1)
            await owner.voice.truncate(done.item, 60 * 20)
            await owner.hear(QUIET)
            last = await owner.next(TurnDone, 3)
            assert [event for event in owner.of(Audio) if event.item == last.item]
        said = [(message["role"], message["content"]) for message in model.requests[-1]["messages"][1:]]
        assert said == [
            ("assistant", "Bella's."), ("user", "What is a pizza?"), ("assistant", "One moment."), ("tool", "9"),
            ("assistant", "Nine dollars. Nine …"), ("user", "That will do."),
        ]  # fmt: skip
        assert model.requests[0]["model"] == "gemini"
        assert owner.of(Failed) == []
        assert emulator.problems == model.oracle.problems == []
        heard = [event.usage for event in owner.of(Used) if event.usage.seconds_heard]
        assert {usage.model for usage in heard} == {"telephony"}
        heard += owner.voice.settle()
        assert sum(usage.seconds_heard for usage in heard) == pytest.approx(len(emulator.audio[0]) / 8000)


async def test_a_text_that_never_gets_final_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.hearing.FINAL_WITHIN", 0.05)
    async with (
        Model([Answer("Yes?")]) as model,
        Emulator(faults=Faults(delay=30)) as emulator,
        google(emulator, text_url=model.url, text_model="m") as made,
        owned(made.voice(Session())) as owner,
    ):
        await owner.hear(tone(700) + QUIET)
        await owner.next(TurnDone)
        assert model.requests[0]["messages"][-1] == {"role": "user", "content": "hm"}


# ── Settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "somebody-elses.json"))
    for settings in ({}, {"identity": "machine"}):
        with pytest.raises(VoiceError, match="set GOOGLE_APPLICATION_CREDENTIALS"):
            provider(settings)
    with pytest.raises(VoiceError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        provider({"credentials": str(tmp_path / "none.json")})
    (tmp_path / "half.json").write_text(json.dumps({"type": "service_account", "private_key": "SECRET"}))
    with pytest.raises(VoiceError) as error:
        provider({"credentials": str(tmp_path / "half.json")})
    assert "SECRET" not in str(error.value)
    with pytest.raises(VoiceError, match="set GOOGLE_CLOUD_PROJECT"):
        provider({"api_key": KEY})


def test_the_packages_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "providers.google_client", None)
    with pytest.raises(VoiceError, match=r"pip install 'hookflash\[google\]'"):
        provider({"api_key": KEY, "project": "p"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hint": []}, "did you mean 'hints'"),
        ({"hints": [3]}, "must be at most 500 texts"),
        ({"endpointing": "soon"}, "standard, short, supershort"),
    ],
)
async def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    made = provider({"api_key": KEY, "project": "p"})
    with pytest.raises(VoiceError, match=words):
        made.voice(Session(options=options))
    await made.close()


@pytest.mark.parametrize("by", ["path", "content"])
async def test_without_a_key_for_a_text_model_there_is_no_conversation(service_account: Path, by: str) -> None:
    made = provider({"credentials": str(service_account) if by == "path" else service_account.read_text()})  # noqa: ASYNC240
    assert made.text_model() is None
    with pytest.raises(VoiceError, match="HOOKFLASH_VOICES_GOOGLE_TEXT_API_KEY"):
        made.voice(Session())
    with pytest.raises(VoiceError, match="µ-law or A-law"):
        made.recogniser(format=AudioFormat("pcm16", 16000))
    await made.close()


def private_key() -> tuple[Any, bytes]:
    key = rsa.generate_private_key(65537, 2048)
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate(key: Any) -> bytes:
    """For localhost, signed by itself."""
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    return made.add_extension(names, critical=False).sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def service_account(tmp_path: Path) -> Path:
    path = tmp_path / "account.json"
    path.write_text(json.dumps({
        "type": "service_account", "project_id": "bellas", "private_key": private_key()[1].decode(),
        "client_email": "a@b.c", "token_uri": "http://127.0.0.1:1/token",
    }))  # fmt: skip
    return path


def tokens_from(account: Path, url: str) -> None:
    account.write_text(json.dumps({**json.loads(account.read_text()), "token_uri": url}))


async def test_a_service_account_is_let_in_over_tls(service_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, pem = private_key()
    trusted = grpc.ssl_channel_credentials(root_certificates=certificate(key))
    monkeypatch.setattr("providers.google_client.grpc.ssl_channel_credentials", lambda: trusted)
    asked: list[str] = []

    async def token(request: web.Request) -> web.Response:
        asked.append(str((await request.post())["grant_type"]))
        return web.json_response({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"})

    app = web.Application()
    app.router.add_post("/token", token)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    tokens_from(service_account, f"http://127.0.0.1:{runner.addresses[0][1]}/token")
    async with Emulator(["Hello."], tls=(pem, certificate(key))) as emulator:
        made = provider({
            "credentials": str(service_account), "listening_url": emulator.url, "speech_url": emulator.url,
        })  # fmt: skip
        recogniser = made.recogniser(format=ULAW)
        await recogniser.connect()
        await recogniser.send_audio(tone(500))
        await recogniser.finish()
        texts = [event.text async for event in recogniser.events() if isinstance(event, UserText) and event.final]
        assert texts == ["Hello."]
        assert await made.speaker().speak("Yes.", voice=None, language=None, format=ULAW)
        assert asked[0] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        await recogniser.close()
        await made.close()
    await runner.cleanup()


async def test_nobody_there_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.google_client.CONNECT_WITHIN", 0.2)
    made = provider({"api_key": KEY, "project": "p", "listening_url": "http://127.0.0.1:1"})
    recogniser = made.recogniser(format=ULAW)
    with pytest.raises(VoiceError, match="cannot be reached within") as error:
        await recogniser.connect()
    assert error.value.recoverable
    await recogniser.close()
    await made.close()


def test_languages_get_their_country() -> None:
    assert [with_country(language) for language in ("de", "en", "en-GB", "ja")] == ["de-DE", "en-US", "en-GB", "ja-JP"]


def test_an_unknown_status_is_an_error_too() -> None:
    from google.api_core.exceptions import GoogleAPICallError

    assert told(NAME, GoogleAPICallError("what was said")).code == "unknown"
