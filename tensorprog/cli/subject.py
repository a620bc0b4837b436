"""What a command is about: an architecture of the zoo, found by name, or a program file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from tensorprog.errors import InvalidProgram, TensorProgramError
from tensorprog.language.program import Network, Program

if TYPE_CHECKING:
    from tensorprog.language.text import Source

Architecture = Callable[..., Network]
Options = Mapping[str, str]  # of an architecture, as they were typed


def zoo() -> Mapping[str, Architecture]:
    """The table of architectures, by name; found at run time, since tensorprog never depends on them."""
    try:
        return importlib.import_module("architectures").ZOO
    except ModuleNotFoundError as error:
        raise InvalidProgram("the package `architectures` is not installed. Give a program file instead.") from error


def load(subject: str, options: Options) -> Network | Program:
    """The network or program that `subject` names, checked.

    Raises:
        InvalidProgram: no such architecture or file, an option that it does not have, a value of the wrong type, or a program with findings.
        OutsideTheory: a program that no theorem covers.
    """
    from tensorprog.language.valid import check

    found = source(subject, options)
    check(found.program, found.lines or None).raise_if_invalid()
    return found.program


def source(subject: str, options: Options) -> Source:
    """The same, unchecked, with the lines of the file; an architecture has none."""
    from tensorprog.language.text import Source

    path = Path(subject)
    if path.suffix in (".tp", ".json") or path.is_file():
        if options:
            raise InvalidProgram(f"{subject}: a program file takes no options, got {', '.join('--' + o for o in options)}. Edit the file instead.")
        return read(path)
    return Source(build(subject, find(subject), options), ())


def find(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        InvalidProgram: there is none.
    """
    architectures = zoo()
    if name not in architectures:
        close = get_close_matches(name, architectures, 1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(architectures)}; or give a .tp or .json file."
        raise InvalidProgram(f"no architecture is called {name}. {hint}")
    return architectures[name]


def read(path: Path) -> Source:
    """A program or network in its text form, or in JSON; reading executes nothing."""
    from tensorprog.language import exchange, text

    if not path.is_file():
        raise InvalidProgram(f"{path}: there is no such file.")
    try:
        words = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidProgram(f"{path}: not a text file (byte {error.start}). A program is UTF-8 text, or JSON.") from error
    if path.suffix != ".json":
        return text.read(words)
    try:
        return text.Source(exchange.from_json(words), ())
    except InvalidProgram as error:
        raise InvalidProgram(f"{path}: {error}") from error


def network(subject: str, options: Options) -> Network:
    """Like `load`, for commands that need a readout."""
    found = load(subject, options)
    if isinstance(found, Program):
        raise InvalidProgram(f"{subject}: a program without a readout has no kernel and no training. Make it a network: add a `readout` line.")
    return found


def build(name: str, architecture: Architecture, options: Options) -> Network:
    """Call the architecture with its options, read as the types that its signature declares; sizes of axes are whole numbers."""
    known = parameters(architecture)
    arguments: dict[str, Any] = {}
    for option, value in options.items():
        key = option.replace("-", "_")
        arguments[key] = _convert(f"{name} --{option}", value, known[key][0] if key in known else int | str)
    try:
        return architecture(**arguments)
    except TensorProgramError:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidProgram(f"{name}: {error}. `tensorprog list {name}` shows its options.") from error


def parameters(architecture: Architecture) -> dict[str, tuple[Any, Any]]:
    """The options of an architecture: type and default of each. Parameters without a default are its inputs."""
    hints = get_type_hints(architecture)
    given = inspect.signature(architecture).parameters
    return {name: (hints.get(name, str), p.default) for name, p in given.items() if p.default is not p.empty}


def spelled(kind: Any) -> str:
    """A type, for a person: `number`, `true or false`, `pre | post`, `several of number`."""
    origin, members = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(spelled(m) for m in members))
    if origin is Literal:
        return " | ".join(map(str, members))
    if origin is not None and issubclass(origin, Callable):
        return "nonlinearity"
    if origin is not None and issubclass(origin, Collection):
        return f"{spelled(members[0])}s, separated by commas" if get_origin(members[0]) is None else "pairs 0:1,1:2"
    return {int: "whole number", float: "number", bool: "true | false", str: "name", NoneType: "none"}.get(kind, "value")


def _convert(what: str, value: str, kind: Any, separator: str = ",") -> Any:
    """`value` as `kind`: a number, true or false, a nonlinearity by name, several of these (`1,2,3`; pairs `0:1,1:2`), or the first
    of a union that fits.
    """
    origin, members = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _first_that_fits(what, value, members)
    if origin is Literal:
        return _one_of(what, value, members)
    if origin is not None and issubclass(origin, Callable):
        return _nonlinearity(value)
    if origin is not None and issubclass(origin, Collection):
        return tuple(_convert(what, v.strip(), members[0], ":") for v in value.split(separator) if v.strip())
    try:
        if kind is bool:
            return {"true": True, "yes": True, "false": False, "no": False}[value.lower()]
        return kind(value) if kind in (int, float) else value
    except (ValueError, KeyError) as error:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise InvalidProgram(f"{what} takes {wanted}, got {value!r}.") from error


def _first_that_fits(what: str, value: str, members: tuple[Any, ...]) -> Any:
    if value == "none" and NoneType in members:
        return None
    complaint: InvalidProgram | None = None
    for member in sorted((m for m in members if m is not NoneType), key=lambda m: m is str):
        try:
            return _convert(what, value, member)
        except InvalidProgram as error:
            complaint = complaint or error
    raise complaint or InvalidProgram(f"{what} takes none, got {value!r}.")


def _one_of(what: str, value: str, members: tuple[Any, ...]) -> Any:
    found = {str(m): m for m in members}
    if value not in found:
        raise InvalidProgram(f"{what} is one of {', '.join(found)}; got {value!r}.")
    return found[value]


def _nonlinearity(value: str) -> Any:
    """`erf`, or with constants `leaky_relu:0.2`."""
    from tensorprog.build.functions import builtin

    name, *constants = value.split(":")
    try:
        return builtin(name, *map(float, constants))
    except ValueError as error:
        raise InvalidProgram(f"{value}: {error}") from error
