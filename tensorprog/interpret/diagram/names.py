"""How a program's names are typeset: h1 as h^1, h_1 as h_1, dx as dx, xi as a Greek letter (mathtext, without the dollar signs)."""

from __future__ import annotations

import re
import unicodedata

_SMALL = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega"
_CAPITAL = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
GREEK = frozenset([*_SMALL.split(), *_CAPITAL.split()])
ACCENTS = {"tilde": r"\tilde", "hat": r"\hat", "bar": r"\bar"}
_MEMBER = re.compile(r"^(?P<base>[^\[]*)\[(?P<index>[\d, ]+)\]$")
_WORD = re.compile(r"^(?P<letters>.*?)(?P<digits>\d*)(?P<primes>'*)$")
_BRACED = r"\{(?:[^{}]|\{[^{}]*\})*\}"
_INDEXED = re.compile(rf"(?P<base>.*)_(?P<index>{_BRACED})(?P<raised>(?:\^{_BRACED})?)")
_RAISED = re.compile(r"\^\{(\d+)\}")
_COMPOUND = re.compile(r"([A-Z])([a-z]{1,2})(\d*)")  # Wq, Uo: one letter and its index
_GRADIENT = re.compile(rf"d(?P<base>([A-Za-z]|{'|'.join(sorted(GREEK))})\d*'*)")


def roman(text: str) -> str:
    """Upright text; what mathtext cannot take is dropped."""
    return r"\text{" + (re.sub(r"[^\w .,+\-]", "", text, flags=re.ASCII).replace("_", " ") or "?") + "}"


def word(text: str) -> str:
    """A name without indices: one letter italic, a Greek name (or letter) as its letter, more letters upright."""
    if len(text) == 1 and (greek := unicodedata.name(text, "").removeprefix("GREEK SMALL LETTER ").lower()) in GREEK:
        text = greek
    if text in GREEK:
        return "\\" + text + " "
    return text if len(text) == 1 and text.isascii() and text.isalpha() else roman(text)


def typeset(name: str, twin: str | None = None) -> str:
    """The mathtext of a variable, matrix or input; `twin` is the forward variable of which it is the gradient.

    Digits that end the first word are a layer, so a superscript; what follows an underscore is a subscript; [i, j] are positions, counted
    from 1 as on paper.
    """
    if twin is not None:
        return "d" + typeset(twin)
    if member := _MEMBER.match(name):
        positions = ",".join(str(int(i) + 1) for i in member["index"].split(","))
        return indexed(typeset(member["base"]), positions)
    first, *rest = [part for part in re.split(r"[_.]", name) if part] or [name]
    accents = [ACCENTS[part] for part in rest if part in ACCENTS]
    rest = [part for part in rest if part not in ACCENTS]
    if match := _GRADIENT.fullmatch(first):
        return _subscripted("d" + _scripted(match["base"], accents), rest)
    return _subscripted(_scripted(first, accents), rest)


def _scripted(text: str, accents: list[str]) -> str:
    if match := _COMPOUND.fullmatch(text):
        return match[1] + "_{" + word(match[2]) + "}" + ("^{" + match[3] + "}" if match[3] else "")
    match = _WORD.match(text)
    assert match is not None
    letters, digits = (match["letters"], match["digits"]) if match["letters"] else (match["digits"], "")
    base = word(letters)
    for accent in accents:
        base = accent + "{" + base + "}"
    return base + ("^{" + digits + "}" if digits else "") + match["primes"]


def _subscripted(base: str, rest: list[str]) -> str:
    if not rest:
        return base
    return indexed(base, ",".join(part if part.isdigit() else word(part) if part.isalpha() else _scripted(part, []) for part in rest))


def indexed(text: str, index: str) -> str:
    """A subscript, joined to the one that is there."""
    if match := _INDEXED.fullmatch(text):
        return match["base"] + "_{" + match["index"][1:-1] + "," + index + "}" + match["raised"]
    return text + "_{" + index + "}"


def transposed(text: str) -> str:
    """The transpose of a matrix, its sign joined to the superscript that is there."""
    return _RAISED.sub(r"^{\g<1>\\top}", text, count=1) if _RAISED.search(text) else text + r"^{\top}"


def embedding(matrix: str, data: str) -> str:
    """The label of an input embedding: U xi."""
    right = typeset(data)
    return typeset(matrix) + (r"\," if right.startswith(r"\text") else "") + right
