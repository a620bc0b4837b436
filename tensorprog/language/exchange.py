"""The JSON form, for exchange with other tools: `from_json(to_json(p)) == p`. It follows the dataclasses of the language field by field.

    {"format": "tensorprog", "version": 1, "value": {"type": "Program", "name": "mlp", "widths": [{"type": "Width", "name": "n", "ratio": "1"}], ...}}

A value is read by the type of its field and nothing else: a file can name only the classes below, and functions only by name.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tensorprog.errors import InvalidProgram
from tensorprog.language import expr, instr, program
from tensorprog.language.expr import Fn, Ref
from tensorprog.language.finding import MAX_CHARACTERS, MAX_DEPTH
from tensorprog.language.nonlin import named
from tensorprog.language.program import Network, Program
from tensorprog.language.text import NO_FUNCTIONS

VERSION = 1
MAX_NESTING = 4 * MAX_DEPTH  # an expression of MAX_DEPTH nodes has a list and an object a node
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')
_NUMBERS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}  # JSON has no words for them


def to_json(p: Program | Network) -> str:
    """The JSON form of a program or network."""
    return json.dumps({"format": "tensorprog", "version": VERSION, "value": _encode(p)}, ensure_ascii=True, allow_nan=False)


def from_json(text: str, functions: Mapping[str, Fn] = NO_FUNCTIONS) -> Program | Network:
    """The program or network of a JSON text.

    Args:
        functions: the functions by name that are not built in.

    Raises:
        InvalidProgram: the text is too long, too deep, truncated, of another format or version, or a field does not hold what it should;
            the message names the field.
    """
    _guard(text)
    try:
        document = json.loads(text)
    except ValueError as e:
        raise InvalidProgram(f"this is not JSON ({e}). Is the file cut off?") from e
    if not isinstance(document, dict) or document.get("format") != "tensorprog":  # pyright: ignore[reportUnknownMemberType]
        raise InvalidProgram('this JSON holds no program: {"format": "tensorprog", ...} is expected.')
    version: object = document.get("version")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if version != VERSION:
        raise InvalidProgram(f"this file has version {version!r} of the format; this release reads version {VERSION}. Use the release that wrote it.")
    return _decode(document.get("value"), Program | Network, "value", functions)  # pyright: ignore[reportUnknownMemberType]


def _guard(text: str) -> None:
    """Refuse what would take too much room or too deep a recursion before it is read."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidProgram(f"the text has {len(text)} characters; at most {MAX_CHARACTERS} are read. Is it a program?")
    level = 0
    for m in _BRACKET.finditer(text):
        level += (m[0] in "[{") - (m[0] in "]}")
        if level > MAX_NESTING:
            raise InvalidProgram(f"the JSON is nested more than {MAX_NESTING} deep at character {m.start()}. Give parts of long expressions names.")


def _encode(value: Any) -> Any:
    match value:
        case Fn(name, constants, order):
            return {"type": "Fn", "name": name, "constants": _encode(constants), "order": list(order)}
        case Ref(name, 0):
            return {"type": "Ref", "name": name}
        case Fraction():
            return str(value)
        case float() if value != value or value in (float("inf"), float("-inf")):
            return repr(value)
        case bool() | str() | int() | float() | None:
            return value
        case Real():  # a number of an array library
            return _encode(int(value) if isinstance(value, Integral) else float(value))
        case tuple():
            return [_encode(v) for v in value]  # pyright: ignore[reportUnknownVariableType]
        case Mapping():
            return {str(k): _encode(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _ if is_dataclass(value):
            return {"type": type(value).__name__} | {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
        case _:
            raise InvalidProgram(f"{value!r} is no part of a program, and JSON cannot say it. Build programs of names, numbers and expressions.")


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    scope = {**vars(expr), **vars(instr), **vars(program)}
    return get_type_hints(kind, scope)


def _decode(value: Any, hint: Any, place: str, functions: Mapping[str, Fn]) -> Any:
    """`value` as a `hint`; `place` says where it stands."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(value, args, place, functions)
    if origin is tuple:
        entries = _expect(value, list, place)
        return tuple(_decode(v, args[0], f"{place}[{i}]", functions) for i, v in enumerate(entries))
    if origin is Literal:
        if value not in args:
            raise _wrong(value, " or ".join(map(repr, args)), place)
        return value
    if origin is not None and issubclass(origin, Mapping):
        return {k: _decode(v, args[1], f"{place}.{k}", functions) for k, v in _expect(value, dict, place).items()}
    if hint is Fn:
        return _function(_expect(value, dict, place), place, functions)
    if is_dataclass(hint):
        return _record(_expect(value, dict, place), hint, place, functions)  # pyright: ignore[reportArgumentType]
    return _scalar(value, hint, place)


def _decode_union(value: Any, kinds: tuple[Any, ...], place: str, functions: Mapping[str, Fn]) -> Any:
    if type(None) in kinds:
        return None if value is None else _decode(value, next(k for k in kinds if k is not type(None)), place, functions)
    by_name = {k.__name__: k for k in kinds}
    kind = _expect(value, dict, place).get("type")
    if not isinstance(kind, str) or kind not in by_name:
        raise _wrong(kind, " or ".join(by_name), f"{place}.type")
    return _decode(value, by_name[kind], place, functions)


def _record(value: dict[str, Any], kind: type, place: str, functions: Mapping[str, Fn]) -> Any:
    hints = {f.name: _hints(kind)[f.name] for f in fields(kind)}
    if kind is Ref:
        value = {"copy": 0, **value}
    unknown, missing = sorted(value.keys() - hints.keys() - {"type"}), sorted(hints.keys() - value.keys())
    if unknown or missing or value.get("type") != kind.__name__:
        raise _wrong(sorted(value), f"a {kind.__name__} with the fields {', '.join(hints)}", place)
    return kind(**{name: _decode(value[name], hint, f"{place}.{name}", functions) for name, hint in hints.items()})


def _function(value: dict[str, Any], place: str, functions: Mapping[str, Fn]) -> Fn:
    name: str = _decode(value.get("name"), str, f"{place}.name", functions)
    constants: tuple[float, ...] = _decode(value.get("constants"), tuple[float, ...], f"{place}.constants", functions)
    order: tuple[int, ...] = _decode(value.get("order"), tuple[int, ...], f"{place}.order", functions)
    try:
        return named(name, constants, order, functions)
    except (KeyError, ValueError) as e:
        raise InvalidProgram(f"{place}: [nonlin] {e.args[0]}. Use a built-in function, or pass functions={{{name!r}: ...}}.") from e


def _scalar(value: Any, hint: Any, place: str) -> Any:
    if hint is float and isinstance(value, str) and value in _NUMBERS:
        return _NUMBERS[value]
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as e:
            raise _wrong("a huge integer", "a number below 1.8e308", place) from e
    if hint is Fraction:
        parts = re.fullmatch(r"(-?\d{1,400})(?:/(\d{1,400}))?", _expect(value, str, place))
        if parts is None or (parts[2] is not None and int(parts[2]) == 0):
            raise _wrong(value, "a fraction such as '3/2'", place)
        return Fraction(int(parts[1]), int(parts[2] or 1))
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise _wrong(value, {int: "an integer", str: "a string", bool: "true or false", float: "a number"}[hint], place)


def _expect(value: Any, kind: type, place: str) -> Any:
    if not isinstance(value, kind):
        raise _wrong(value, {dict: "an object", list: "a list", str: "a string"}[kind], place)
    return value


def _wrong(value: object, wanted: str, place: str) -> InvalidProgram:
    shown = repr(value)
    return InvalidProgram(f"{place}: {wanted} is expected, got {shown if len(shown) < 80 else shown[:76] + ' ...'}.")
