"""Whether voices have what they need, before anything is started: for `hookflash doctor` and the demo."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from asterisk.doctor import Finding
from engine.accounts import using
from engine.loading import voices_of
from engine.settings import Settings
from engine.voices import Voices
from flows.library import Library
from providers.registry import names
from providers.voice import Session, VoiceError


async def lacks(voices: Voices, name: str) -> str:
    """What the voice ``name`` lacks under the account that counts here, in words that say what to set; "" for nothing.

    It is imported and made, but talks to nobody.
    """
    try:
        provider = voices.get(name)
        if provider.capabilities.formats:
            await provider.voice(Session()).close()
    except VoiceError as error:
        return str(error)
    return ""


async def examine_voices(
    settings: Settings, given: Mapping[str, Mapping[str, str]], library: Library | None
) -> list[Finding]:
    """One finding for each installed voice, and for each that the flows use under another account. A voice that is used
    and lacks something is an error; ``given`` are the engine's own settings of voices."""
    voices = Voices(given, settings.account_settings())
    used: dict[str | None, list[str]] = {} if library is None else voices_of(library)
    findings = []
    try:
        always = {name for name in (settings.voice, settings.text, settings.listening) if name is not None}
        own = {*used.get(None, ()), *always}
        findings += [await _finding(voices, name, None, own) for name in sorted({*names(), *own})]
        for account in sorted(account for account in used if account is not None):
            with using(account):
                theirs = {*used[account], *always}
                findings += [await _finding(voices, name, account, theirs) for name in sorted(theirs)]
    finally:
        await voices.close()
    return findings


async def _finding(voices: Voices, name: str, account: str | None, used: Collection[str]) -> Finding:
    what = f"the voice {name}" + ("" if account is None else f" of account {account}")
    missing = await lacks(voices, name)
    if not missing:
        return Finding("ok", f"{what} is ready")
    if name in used:
        return Finding("error", f"{what} is used and not ready: {missing}")
    return Finding("ok", f"{what} is not used and not ready: {missing}")
