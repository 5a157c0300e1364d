"""Speech without a network: flite, run as a program (espeak-ng the same way for languages flite does not have).

The text goes in by standard input, so that it shows in no process list; the audio comes back in a file, because flite
seeks in what it writes. Neither synthesiser is linked in: espeak-ng is under the GPL.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from providers.sound import encode, read_wav, to_line_rate
from providers.voice import AudioFormat, VoiceError

VOICES = ("slt", "rms", "awb", "kal16", "kal")  # inside flite 2.2; any other name would be opened as a file or an URL
TIMEOUT = 10.0  # seconds for one sentence; it takes 0.05
AT_ONCE = 4  # synthesisers that run at the same time
MEMORY = 16 * 2**20  # bytes of prompts kept in memory (35 minutes)
DISK = 128 * 2**20
LONGEST = 400  # characters given to the synthesiser at once

_SENTENCE = re.compile(r"(?<=[.!?…:;])\s+(?=\S)")
_TITLE = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|No|Prof|vs|e\.g|i\.e)\.$", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """The text in pieces that are spoken one after the other, so that the first is heard soon."""
    pieces: list[str] = []
    for part in _SENTENCE.split(" ".join(text.split())):
        if pieces and (_TITLE.search(pieces[-1]) or len(pieces[-1]) < 4):
            pieces[-1] += " " + part
        elif part:
            pieces.append(part)
    return [chunk for piece in pieces for chunk in _wrapped(piece)]


def _wrapped(piece: str) -> list[str]:
    """A sentence without end, cut at spaces."""
    chunks = []
    while len(piece) > LONGEST:
        cut = piece.rfind(" ", 0, LONGEST)
        cut = cut if cut > 0 else LONGEST
        chunks.append(piece[:cut])
        piece = piece[cut:].lstrip()
    return [*chunks, piece]


def command(setting: str | None, name: str) -> list[str] | None:
    """The argv of a synthesiser: from a setting (a path or a JSON list of words), else from the search path, or None.

    Raises:
        VoiceError: the setting is neither.
    """
    if not setting:
        found = shutil.which(name)
        return [found] if found else None
    if not setting.lstrip().startswith("["):
        return [setting]
    try:
        words = json.loads(setting)
    except ValueError as error:
        raise VoiceError(f"setting '{name}' is not a JSON list of words: {error}", code="setting") from error
    if not words or not all(isinstance(word, str) for word in words):
        raise VoiceError(f"setting '{name}' must be a path or a JSON list of words, not {setting}", code="setting")
    return list(words)


class Flite:
    """Text to speech by flite, with the prompts kept in memory and, when ``cache`` names a folder, on disk."""

    def __init__(self, flite: Sequence[str], *, espeak: Sequence[str] | None = None, cache: Path | None = None) -> None:
        self._flite = tuple(flite)
        self._espeak = tuple(espeak) if espeak else None
        self._cache = cache
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._held = 0
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._running = asyncio.Semaphore(AT_ONCE)

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        """The whole prompt as audio at 8 kHz. An unknown voice is spoken by the default one.

        Raises:
            VoiceError: the synthesiser is missing, failed or took too long.
        """
        return b"".join([await self.sentence(s, voice, language, format) for s in sentences(text)])

    async def sentence(self, text: str, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        """One sentence as audio: from memory, from disk, or made now. Raises `VoiceError`."""
        if format.rate != 8000:
            raise VoiceError(f"flite speaks at 8000 Hz, not {format.rate}", code="format")
        speaker = self._speaker(voice, language)
        key = hashlib.sha256("\0".join((*speaker, format.encoding, text)).encode()).hexdigest()
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # fifty calls that begin with the same greeting make it once
            audio = self._memory.get(key)
            if audio is not None:
                self._memory.move_to_end(key)
                return audio
            cache = self._cache
            audio = await asyncio.to_thread(_from_disk, cache, key) if cache else None
            if audio is None:
                pcm, rate = read_wav(await self._run(speaker, text))
                audio = encode(to_line_rate(pcm, rate), format)
                if cache:
                    await asyncio.to_thread(_to_disk, cache, key, audio)
            self._keep(key, audio)
            return audio

    def _speaker(self, voice: str | None, language: str | None) -> tuple[str, ...]:
        """The command without input and output.

        Without espeak-ng another language gets an English accent, not silence.
        """
        foreign = language is not None and not language.lower().startswith("en")
        if foreign and self._espeak and language:
            tag = re.sub(r"[^A-Za-z0-9-]", "", language).lower()
            return (*self._espeak, "-v", tag, "--stdin", "-w")
        return (*self._flite, "-voice", voice if voice in VOICES else VOICES[0], "-f", "-", "-o")

    async def _run(self, speaker: tuple[str, ...], text: str) -> bytes:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            try:
                async with self._running, asyncio.timeout(TIMEOUT):
                    await self._synthesise((*speaker, file.name), text)
            except TimeoutError:
                raise VoiceError(f"{speaker[0]} took more than {TIMEOUT:.0f} s; is the machine overloaded?") from None
            wav = file.read()
        if len(wav) <= 44:
            raise VoiceError(f"{speaker[0]} produced no audio for {len(text)} characters", code="synthesiser")
        return wav

    async def _synthesise(self, argv: tuple[str, ...], text: str) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise VoiceError(f"cannot run {argv[0]}: {error.strerror}; install flite or correct the setting") from error
        try:
            _, complaint = await process.communicate(text.encode() + b"\n")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = complaint.decode(errors="replace").strip()[-300:]
            raise VoiceError(f"{argv[0]} ended with status {process.returncode}: {words}", code="synthesiser")

    def _keep(self, key: str, audio: bytes) -> None:
        self._memory[key] = audio
        self._held += len(audio)
        while self._held > MEMORY and len(self._memory) > 1:
            self._held -= len(self._memory.popitem(last=False)[1])


def _from_disk(cache: Path, key: str) -> bytes | None:
    try:
        return (cache / f"{key}.g711").read_bytes() or None
    except OSError:
        return None


def _to_disk(cache: Path, key: str, audio: bytes) -> None:
    """Best effort: a full or read-only disk costs time, never a call. The oldest prompts make room."""
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=cache)
        with os.fdopen(handle, "wb") as file:
            file.write(audio)
        os.replace(path, cache / f"{key}.g711")
        files = sorted(cache.glob("*.g711"), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        while total > DISK:
            oldest = files.pop(0)
            total -= oldest.stat().st_size
            oldest.unlink()
    except OSError:
        return
