"""What a command is about: an architecture of the zoo, found by name, or a program file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from tensorprog.errors import InvalidProgram
from tensorprog.language.program import Network, Program

Architecture = Callable[..., Network]


def zoo() -> Mapping[str, Architecture]:
    """The table of architectures, by name; found at run time, since tensorprog never depends on them."""
    try:
        return importlib.import_module("architectures").ZOO
    except ModuleNotFoundError as error:
        raise InvalidProgram("the package `architectures` is not installed. Give a program file instead.") from error


def load(subject: str, options: Mapping[str, str]) -> Network | Program:
    """The network that `subject` names.

    Raises:
        InvalidProgram: no such architecture or file, an option that it does not have, or a value of the wrong type.
    """
    path = Path(subject)
    if path.suffix in (".tp", ".json") or path.is_file():
        if options:
            raise InvalidProgram(f"{subject}: a program file takes no options, got {', '.join('--' + o for o in options)}. Edit the file instead.")
        return read(path)
    architectures = zoo()
    if subject not in architectures:
        close = get_close_matches(subject, architectures, 1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(architectures)}; or give a .tp or .json file."
        raise InvalidProgram(f"no architecture is called {subject}. {hint}")
    return build(subject, architectures[subject], options)


def read(path: Path) -> Network | Program:
    """A program or network in its text form, or in JSON; reading executes nothing."""
    from tensorprog.language import exchange, text

    if not path.is_file():
        raise InvalidProgram(f"{path}: there is no such file.")
    try:
        source = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidProgram(f"{path}: not a text file (byte {error.start}). A program is UTF-8 text, or JSON.") from error
    return exchange.parse(source) if path.suffix == ".json" else text.parse(source)


def network(subject: str, options: Mapping[str, str]) -> Network:
    """Like `load`, for commands that need a readout."""
    found = load(subject, options)
    if isinstance(found, Program):
        raise InvalidProgram(f"{subject}: a program without a readout has no kernel and no training. Add a `readout` line.")
    return found


def build(name: str, architecture: Architecture, options: Mapping[str, str]) -> Network:
    """Call the architecture with its options, read as the types that its signature declares."""
    known = parameters(architecture)
    arguments: dict[str, Any] = {}
    for option, value in options.items():
        key = option.replace("-", "_")
        if key not in known:
            has = ", ".join(f"--{k.replace('_', '-')}" for k in known)
            raise InvalidProgram(f"{name} has no option --{option}. It has {has or 'none'}.")
        arguments[key] = _convert(f"{name} --{option}", value, known[key])
    missing = [p for p, d in _defaults(architecture).items() if d is inspect.Parameter.empty and p not in arguments]
    if missing:
        raise InvalidProgram(f"{name} needs {', '.join('--' + m.replace('_', '-') for m in missing)}.")
    return architecture(**arguments)


def parameters(architecture: Architecture) -> dict[str, Any]:
    """The options of an architecture and their types."""
    hints = get_type_hints(architecture)
    return {p: hints.get(p, str) for p in inspect.signature(architecture).parameters}


def signature(architecture: Architecture) -> str:
    """The options with their defaults, as one types them."""
    parts = (f"--{p.replace('_', '-')}" + ("" if d is inspect.Parameter.empty else f" {_shown(d)}") for p, d in _defaults(architecture).items())
    return " ".join(parts)


def _defaults(architecture: Architecture) -> dict[str, Any]:
    return {p: q.default for p, q in inspect.signature(architecture).parameters.items()}


def _shown(default: object) -> str:
    if isinstance(default, float):
        return f"{default:.4g}"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple | list):
        return ",".join(map(_shown, default)) or '""'
    return str(getattr(default, "name", getattr(default, "__name__", default)))


def _convert(what: str, value: str, kind: Any) -> Any:
    """`value` as `kind`: int, float, bool, str, a tuple of them separated by commas, or the first member of a union that fits."""
    members = get_args(kind)
    if get_origin(kind) in (tuple, list):
        return tuple(_convert(what, v, members[0]) for v in value.split(",") if v)
    if get_origin(kind) is not None and members and get_origin(kind).__name__ in ("Union", "UnionType"):
        for member in sorted((m for m in members if m is not type(None)), key=lambda m: m is str):
            try:
                return _convert(what, value, member)
            except InvalidProgram:
                continue
        raise InvalidProgram(f"{what}: {value!r} fits none of its types.")
    try:
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
        if kind in (int, float):
            return kind(value)
    except (ValueError, KeyError) as error:
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise InvalidProgram(f"{what} takes {wanted}, got {value!r}.") from error
    return value
