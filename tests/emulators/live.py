"""GPT-Live with the scripts of the other emulators: what they call tools for is done by the text model behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.emulators.chat_completions import Answer
from tests.emulators.gpt_live import LiveEmulator
from tests.emulators.openai_realtime.model import Call, Say, Turn

LACKS = frozenset({"rate_limit", "go_away", "late_deltas", "empty_turns", "failures"})  # it owes no answer


def live(*, script: Sequence[Turn] = (), **options: Any) -> LiveEmulator:
    """The emulator for a script: the words that follow a call are those of who did the work."""
    own: list[Turn] = []
    work: list[Answer] = []
    for number, turn in enumerate(script):
        before = script[number - 1] if number else None
        if isinstance(turn, Call):
            calls = enumerate((turn, *turn.more))
            asked = tuple((f"{number}{index}", call.tool, json.dumps(call.arguments)) for index, call in calls)
            own.append(Call(turn.tool))
            work.append(Answer(turn.say, calls=asked))
        elif isinstance(before, Call) and isinstance(turn, Say):
            work.append(Answer(turn.text))
        else:
            own.append(turn)
    return LiveEmulator(script=own, work=work or [Answer("Well.")], **options)
