"""YAML as people write it, at random: block and flow style mixed, every kind of scalar, comments and blank rows where
they may stand. For tests that no list of examples would convince."""

from __future__ import annotations

from random import Random

WORDS = ("a", "menu", "say hello", "it's", "${vars.x}", "12:30", "0800123", "7", "1.5", "null", "so # so", "ü日本")
PLAIN = ("a", "menu", "say hello", "12:30", "0800123", "7", "-1.5", "null", "true", "tel:+1", "a#b", "ü日本", "~")
DEEP = " " * 40  # deeper than all that is around it


class Writer:
    """One document from one source of chance."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.comments: list[str] = []
        self._anchors: list[str] = []  # those whose value is complete, and so may be repeated
        self._named = 0

    def document(self) -> str:
        text = self._block(0, 0) if self.chance.random() < 0.9 else self._flow(0) + "\n"
        return self._alone(0) + text + self._alone(0)

    def _comment(self) -> str:
        self.comments.append(f"# remark {len(self.comments)}: {self.chance.choice(WORDS)}")
        return self.comments[-1]

    def _alone(self, indent: int) -> str:
        rows = ""
        while self.chance.random() < 0.2:
            rows += self.chance.choice(("\n", "\n\n", " " * self.chance.randint(0, indent) + self._comment() + "\n"))
        return rows

    def _tail(self) -> str:
        return "  " + self._comment() + "\n" if self.chance.random() < 0.15 else "\n"

    def _block(self, indent: int, depth: int) -> str:
        """A block mapping or sequence whose rows begin at ``indent``."""
        step = self.chance.choice((1, 2, 4))
        is_map = self.chance.random() < 0.6 or not depth
        text = ""
        for number in range(self.chance.randint(1, 4)):
            if text:
                text += self._alone(indent)
            text += " " * indent + (f"{self._key(number)}:" if is_map else "-")
            text += self._behind(indent, step, depth, is_map)
        return text

    def _behind(self, indent: int, step: int, depth: int, is_map: bool) -> str:
        if self.chance.random() < 0.9:
            return self._value("", indent, step, depth, is_map)
        self._named += 1
        name = f"a{self._named}"
        text = self._value(f" &{name}", indent, step, depth, is_map)
        self._anchors.append(name)
        return text

    def _value(self, anchor: str, indent: int, step: int, depth: int, is_map: bool) -> str:
        kind = self.chance.random()
        if kind < 0.35 and depth < 4:
            if not is_map and not anchor and self.chance.random() < 0.6:  # begins on the dash's own row
                inner = indent + 1 + step
                return " " * step + self._block(inner, depth + 1)[inner:]
            return anchor + self._tail() + self._alone(indent) + self._block(indent + step, depth + 1)
        if kind < 0.6:
            return f"{anchor} {self._flow(depth, bool(anchor))}{self._tail()}"
        if kind < 0.75:
            return anchor + self._text(indent, step)
        if kind < 0.8:
            return f"{anchor} one{self._row(indent + step)}two{self._row(indent + step)}three{self._tail()}"
        return f"{anchor} {self._scalar(PLAIN, bool(anchor))}{self._tail()}"

    def _key(self, number: int) -> str:
        key = f"k{number}"
        return self.chance.choice((key, key, key, f'"{key}"', f"'{key} x'"))

    def _row(self, indent: int) -> str:
        return "\n" * self.chance.choice((1, 1, 2)) + " " * (indent + self.chance.randint(0, 3))

    def _scalar(self, plain: tuple[str, ...], has_anchor: bool = False) -> str:
        kind = self.chance.random()
        if self._anchors and kind < 0.1 and not has_anchor:
            return f"*{self.chance.choice(self._anchors)} "
        if kind < 0.6:
            return self.chance.choice(plain)
        word = self.chance.choice(WORDS)
        if kind < 0.8:
            return "'" + word.replace("'", "''") + "'"
        further = self.chance.choice(("", r"\n", r"\"", r"\\ ", f"\\\n{DEEP}joined", f"\n\n{DEEP}parted"))
        return f'"{word}{further}"'

    def _text(self, indent: int, step: int) -> str:
        """A text in block style."""
        sign = self.chance.choice("|>")
        inner = " " * (indent + step)
        rows = [self.chance.choice(("some words", "# no comment", "  deeper", "", "k: v", "- x")) for _ in range(4)]
        digit = str(step) if "".join(rows).startswith(" ") else ""
        head = f" {sign}{digit}{self.chance.choice(('', '-', '+'))}"
        return head + self._tail() + "".join(f"{inner}{row}\n" if row else "\n" for row in rows)

    def _flow(self, depth: int, has_anchor: bool = False) -> str:
        if depth > 4 or self.chance.random() < 0.4:
            return self._scalar(PLAIN, has_anchor)
        is_map = self.chance.random() < 0.6
        items = []
        for number in range(self.chance.randint(0, 3)):
            value = self._flow(depth + 1)
            items.append(f"{self._key(number)}: {value}" if is_map else value)
        opened, closed = "{}" if is_map else "[]"
        return opened + self._gap(depth) + ("," + self._gap(depth)).join(items) + self._gap(depth) + closed

    def _gap(self, depth: int) -> str:
        """Between the parts of a flow collection; a row that goes on must stand deeper than what is around it."""
        if self.chance.random() < 0.85:
            return " "
        return self._tail() + (f"{DEEP}{self._comment()}\n" if self.chance.random() < 0.3 else "") + DEEP
