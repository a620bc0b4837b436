"""Names of the lines: those given, else g1.. for embeddings, h1.. for products, x1.. for functions, c1.. for scalars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import count

from tensorprog.build.value import Initial, Product, Value
from tensorprog.errors import InvalidProgram
from tensorprog.language.instr import Embedding, InitVector


def embedding(value: Value) -> Embedding | None:
    """The law of an embedded input; None for any other value."""
    match value.source:
        case Initial(InitVector(law=Embedding() as law)):
            return law
        case _:
            return None


def line_names(values: Sequence[Value], tensors: Collection[str]) -> dict[int, str]:
    """The name of every value that has a line of its own, by serial.

    Args:
        tensors: names of matrices, embeddings and readouts, which no line may have.

    Raises:
        InvalidProgram: two things of one name.
    """
    given = {v.serial: v.source.declaration.name for v in values if isinstance(v.source, Initial) and not embedding(v)}
    shared = _embeddings(values)
    labels = [label for label in (*shared.values(), *(v.label for v in values if v.serial not in given and not embedding(v))) if label]
    taken = Counter([*tensors, *set(given.values()), *labels])
    for name, times in taken.items():
        if times > 1:
            raise InvalidProgram(f"[name] {name!r} is the name of two different things. Give one of them another name.")
    fresh = {letter: _unused(letter, taken) for letter in "ghxc"}
    names: dict[int, str] = {}
    for v in values:
        law = embedding(v)
        if law is not None:
            shared[law] = shared[law] or next(fresh["g"])
            names[v.serial] = shared[law]
        elif v.serial in given:
            names[v.serial] = given[v.serial]
        else:
            names[v.serial] = v.label or next(fresh[_letter(v)])
    return names


def _embeddings(values: Sequence[Value]) -> dict[Embedding, str]:
    """Every embedded input, with the label that the user gave it or ""."""
    shared: dict[Embedding, str] = {}
    for v in values:
        law = embedding(v)
        if law is not None:
            shared[law] = shared.get(law) or v.label or ""
    return shared


def _unused(letter: str, taken: Collection[str]) -> Iterator[str]:
    return (name for i in count(1) if (name := f"{letter}{i}") not in taken)


def _letter(value: Value) -> str:
    if value.width is None:
        return "c"
    return "h" if isinstance(value.source, Product) else "x"
