"""Who writes for a flow (`extract`, briefs, summaries), and what the check says where it is known that nobody does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.voices import known_voices
from flows.flow import Flow
from flows.problems import Problem, Where
from flows.scope import Scope

if TYPE_CHECKING:
    from engine.settings import Settings

WITH_SETTINGS = "; has the engine one that writes? check with its settings: 'hookflash check --config FILE'"


def writer(settings: Settings) -> str | None:
    """The provider that writes for flows that name nobody: the one of the settings, or the voice when it can write."""
    if settings.text is not None:
        return settings.text
    voice = known_voices().get(settings.voice)
    return settings.voice if voice is not None and voice.writes else None


def named(converse: Mapping[str, Any]) -> tuple[str, ...]:
    """The voices of the fields of a `converse`, which name one or a list."""
    names = converse.get("provider") or ()
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def talkers(flow: Flow) -> list[str]:
    """The voices that a flow names for its talks, those of its defaults first."""
    steps = (getattr(step.fields, "providers", ()) for step in flow.walk() if step.verb.name == "converse")
    return list(
        dict.fromkeys([*named(flow.defaults.get("converse", {})), *(name for names in steps for name in names)])
    )


def needs_text_model(scope: Scope, where: Where, what: str) -> Iterable[Problem]:
    """E311 when nobody writes for this flow: not whom it names, nor the engine's, nor a voice that the flow talks with.

    Where the engine's settings are not known, the voices that the flow names decide; without any the engine will.
    """
    voices, own = scope.voices or {}, talkers(scope.flow)
    if scope.text_model or any(name in voices and voices[name].writes for name in own):
        return
    if scope.text_model is None and (not own or any(name not in voices for name in own)):
        return
    able = sorted(name for name, facts in voices.items() if facts.writes)
    which = f" ({', '.join(able)})" if able else ""
    none = f", and the voice '{own[0]}' has none" if own else ""
    message = (
        f"{what} needs a text model{none}: name a provider that has one{which} in the flow, such as "
        f"'defaults: {{text_model: NAME}}'"
    )
    message += ", or in the engine's setting 'text'" if scope.text_model is not None else WITH_SETTINGS
    yield scope.problem(where, "E311", message)
