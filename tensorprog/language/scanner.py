"""The words of the text form: names, numbers and signs, each with its column; and the one way to say what is wrong with them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from tensorprog.language.finding import MAX_TABLES

WordKind = Literal["name", "quoted", "number", "sign", "end"]

NAME = r"[^\W\d][\w\u0300-\u036f]*(?:\.\w+)*"
_WORD = re.compile(
    rf"""\s*(?: (?P<name>{NAME}) | (?P<quoted>"(?:[^"\\]|\\.)*") | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<sign>:=|->|\.\.|[()\[\]{{}},+\-*/^':=~]) | (?P<end>\#.*|$) )""",
    re.VERBOSE,
)
_PLAIN = re.compile(NAME)
_LITERALS = ("inf", "nan")
_MAX_DIGITS = 400


def spelled(name: str, reserved: tuple[str, ...] = _LITERALS) -> str:
    """A name as the text form writes it: bare where it looks like a name, else quoted."""
    if _PLAIN.fullmatch(name) and name not in reserved:
        return name
    return json.dumps(name, ensure_ascii=not name.isprintable())


@dataclass(frozen=True)
class Word:
    kind: WordKind
    text: str
    column: int


class Fault(Exception):
    """What is wrong at a column of a line; the reader of the whole text turns it into a finding."""

    def __init__(self, column: int, finding: str, way_out: str, rule: str = "syntax") -> None:
        super().__init__(finding)
        self.column, self.finding, self.way_out, self.rule = column, finding, way_out, rule


class Allowance:
    """How many table entries the short forms of one text may still unfold to."""

    def __init__(self) -> None:
        self.left = MAX_TABLES

    def spend(self, entries: int, column: int) -> None:
        self.left -= entries
        if self.left < 0:
            raise Fault(column, f"the tables of this text have more than {MAX_TABLES} entries", "Use smaller axes", "axis")


class Line:
    """One line, read word by word with a little look ahead."""

    def __init__(self, text: str, allowance: Allowance) -> None:
        self.text, self.allowance = text, allowance
        self._at = 0
        self._ahead: list[Word] = []

    def peek(self, k: int = 0) -> Word:
        while len(self._ahead) <= k:
            self._ahead.append(self._scan())
        return self._ahead[k]

    def take(self) -> Word:
        word = self.peek()
        del self._ahead[0]
        return word

    def _scan(self) -> Word:
        m = _WORD.match(self.text, self._at)
        if m is None:
            blank = len(self.text) - len(self.text[self._at :].lstrip())
            bad = self.text[blank]
            what = "the quoted name does not end" if bad == '"' else f"the character {bad!r} means nothing here"
            raise Fault(blank + 1, what, "See the grammar in tensorprog.language.text")
        kind: WordKind = m.lastgroup  # pyright: ignore[reportAssignmentType]
        self._at = m.end() if kind != "end" else m.start(kind)
        return Word(kind, m[kind], m.start(kind) + 1)

    def sees(self, *texts: str, k: int = 0) -> bool:
        word = self.peek(k)
        return word.kind in ("name", "sign") and word.text in texts

    def skip(self, text: str) -> bool:
        """Take `text` if it stands here."""
        return self.sees(text) and bool(self.take())

    def expect(self, text: str) -> Word:
        if not self.sees(text):
            raise self.unexpected(f"'{text}'")
        return self.take()

    def unexpected(self, wanted: str) -> Fault:
        word = self.peek()
        found = "the line ends" if word.kind == "end" else f"{word.text[:40]!r} stands"
        return Fault(word.column, f"{found} where {wanted} is expected", f"Write {wanted} here")

    def end(self) -> None:
        if self.peek().kind != "end":
            raise self.unexpected("the end of the line")

    def name(self, what: str = "a name") -> str:
        word = self.peek()
        if word.kind not in ("name", "quoted"):
            raise self.unexpected(what)
        self.take()
        if word.kind == "name":
            return word.text
        try:
            return json.loads(word.text)
        except ValueError as e:
            raise Fault(word.column, f"{word.text[:40]} is not a quoted name", "Quote names as JSON strings") from e

    def number(self) -> float:
        negative = self.skip("-")
        word = self.peek()
        if word.kind != "number" and not self.sees(*_LITERALS):
            raise self.unexpected("a number")
        self.take()
        value = float(word.text) if len(word.text) <= _MAX_DIGITS else float("inf")
        if value == float("inf") and word.kind == "number":
            raise Fault(word.column, f"the number {word.text[:20]}... is out of range", "Write a number below 1.8e308")
        return -value if negative else value

    def integer(self) -> int:
        negative = self.skip("-")
        word = self.peek()
        if word.kind != "number" or not word.text.isdigit():
            raise self.unexpected("an integer")
        self.take()
        if len(word.text) > _MAX_DIGITS:
            raise Fault(word.column, f"the integer {word.text[:20]}... has {len(word.text)} digits", "Write a smaller one")
        return -int(word.text) if negative else int(word.text)
