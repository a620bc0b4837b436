"""Texts and files that were damaged at random are read or refused, judged or refused: nothing else ever happens."""

from __future__ import annotations

import random
import re

import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.language.exchange import from_json, to_json
from tensorprog.language.graph import to_networkx
from tensorprog.language.program import Network, Program
from tensorprog.language.text import parse, read, show
from tensorprog.language.valid import check
from tests.language.random_programs import random_network, random_program

WORDS = (
    "(", ")", "[", "]", "sum", "softmax", "nan", "inf", "-1", "0", "1e5", "token", "source", "W", "g", "theta", "^T", "^", ":=", "moment(", "over",
    "n", "m", "given", ",", "'", "{1,0}", "..", "->", "\n", "#", '"', "return", "readout v^T g : n", "-", "*", "/", "add()", "mul()", "axis q 0",
    "width n", "eye[token, source 3]", "1000000", "delta(g)", "exp(exp(g))", "/ 0", "* 0", "scalar s = 0", "/ theta", "relu'''(g)", "\u0000", "é",
)  # fmt: skip


def _damaged(text: str, rng: random.Random) -> str:
    match rng.randrange(5):
        case 0:
            at = rng.randrange(len(text))
            return text[:at] + text[at + rng.randint(1, 5) :]
        case 1:
            at = rng.randrange(len(text))
            return text[:at] + rng.choice(WORDS) + text[at:]
        case 2:
            words = re.findall(r"\w+|\W", text)
            words[rng.randrange(len(words))] = rng.choice(words)
            return "".join(words)
        case 3:
            lines = text.split("\n")
            lines.insert(rng.randrange(len(lines)), lines.pop(rng.randrange(len(lines))))
            return "\n".join(lines)
        case _:
            lines = text.split("\n")
            del lines[rng.randrange(len(lines))]
            return "\n".join(lines)


def _judge(p: Program | Network) -> bool:
    """Everything that is asked of what was read."""
    report = check(p)
    assert str(report)
    if report.ok:
        to_networkx(p.program if isinstance(p, Network) else p)
    return report.ok


@pytest.mark.parametrize("seed", range(10))
def test_damaged_texts(seed: int) -> None:
    rng = random.Random(seed)
    outcomes: set[str] = set()
    for k in range(30):
        text = _damaged(show(random_network(k) if k % 2 else random_program(k)), rng)
        try:
            source = read(text)
        except InvalidProgram:
            outcomes.add("refused")
            continue
        if "nan" not in text:
            assert parse(show(source.program)) == source.program
        outcomes.add("fine" if _judge(source.program) else "ill-typed")
    assert outcomes == {"refused", "ill-typed", "fine"}


@pytest.mark.parametrize("seed", range(10))
def test_damaged_files(seed: int) -> None:
    rng = random.Random(seed)
    read_at_all = 0
    for k in range(30):
        text = to_json(random_network(k))
        if k % 2:
            types = rng.sample(re.findall(r'"type": "\w+"', text), 2)
            text = text.replace(types[0], types[1], rng.randint(1, 3))
        else:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(('"', "1", "[", "{", "}", "]", ",", "null", "-", "e")) + text[at + rng.randint(0, 3) :]
        try:
            p = from_json(text)
        except InvalidProgram:
            continue
        _judge(p)
        read_at_all += 1
    assert read_at_all
