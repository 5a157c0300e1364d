"""What a record keeps of values that it must not keep: their outline, in which nothing can be read.

A test that is made from a call (`hookflash replay`) needs to know the form of what came and went, and hardly ever what
it said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flows.secrets import shown_by
from flows.texts import in_text

_KEPT: Final = re.compile(r"X-.*|Diversion|User-to-User", re.IGNORECASE)

if TYPE_CHECKING:
    from engine.run import Walker
    from flows.flow import Step
    from flows.texts import Text

HIDDEN: Final = "•"  # a key
WORDS: Final = "…"  # a text
MOST: Final = 20  # items of a list, keys of an object, levels below one another: the outline of more is cut off


def outline(value: Any, *, secret: bool = False, _depth: int = 0) -> Any:
    """The form of a JSON value: texts are `WORDS`, numbers 0. What is true, false or null stays as it is, for flows
    decide by it, unless it is ``secret``."""
    if isinstance(value, Mapping):
        inner = list(value.items())[:MOST] if _depth < MOST else []
        return {str(key): outline(item, secret=secret, _depth=_depth + 1) for key, item in inner}
    if isinstance(value, list | tuple):
        return [outline(item, secret=secret, _depth=_depth + 1) for item in value[: MOST if _depth < MOST else 0]]
    if value is None or isinstance(value, bool):
        return None if value is None else value and not secret
    return 0 if isinstance(value, int | float) else WORDS


def outline_of_answer(answer: str) -> str:
    """The form of what a text model wrote about a secret: of data (`engine.extraction`) whether it was found."""
    try:
        data = json.loads(answer)
    except (ValueError, RecursionError):
        return WORDS
    if not isinstance(data, Mapping):
        return WORDS
    kept = {key: bool(data[key]) if key == "found" else outline(data[key], secret=True) for key in data}
    return json.dumps(kept, ensure_ascii=False)


def told_in(headers: Mapping[str, str], *, secret: bool = False) -> dict[str, str]:
    """The headers of an INVITE that a record keeps: not those that name a caller who may have withheld the number."""
    kept = {name: value for name, value in headers.items() if _KEPT.fullmatch(name)}
    return dict.fromkeys(kept, WORDS) if secret else kept


def is_secret(walker: Walker, step: Step) -> bool:
    """Whether what a step reads or gets is sensitive, or is put into what is."""
    if getattr(step.fields, "sensitive", False):
        return True
    own = f"steps.{step.id}"
    return step.id is not None and any(name == own or name.startswith(f"{own}.") for name in walker.secret)


class Aloud(str):
    """A text that is spoken as it is, and that a record must not keep so."""

    __slots__ = ("kept",)
    kept: str


def aloud(text: Text, walker: Walker) -> str:
    """A text of the flow as it is spoken. Who writes it down writes `on_record` of it."""
    context = walker.context()
    spoken = text.render(context)
    hidden = [one for one in text.expressions if any(_is_hidden(walker, name) for name in shown_by(one))]
    if not hidden:
        return spoken
    made = Aloud(spoken)
    made.kept = "".join(
        part if isinstance(part, str) else WORDS if part in hidden else in_text(part.evaluate(context))
        for part in text.parts
    )
    return made


def on_record(spoken: str) -> str:
    """What a record keeps of a text that is spoken: in the place of sensitive values `WORDS`."""
    return spoken.kept if isinstance(spoken, Aloud) else spoken


def _is_hidden(walker: Walker, name: str) -> bool:
    """Whether a name that an expression reads, or a part of what it reads, must not be written down."""
    if re.fullmatch(r"steps\.[^.]+\.outcome", name):
        return False
    return any(name == one or name.startswith(f"{one}.") or one.startswith(f"{name}.") for one in walker.secret)
