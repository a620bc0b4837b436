"""Writing a program or a network as a Python function: `@tp.program`, `@tp.network` (Yang & Littwin 2021, Def. 4.1, Def. 4.2, Setup 5.2).

Calling the decorated function with its options runs it once on symbolic inputs and gives the finished Program or Network.
"""

# Arguments come from people, who are told what they mixed up, so types are checked at run time too.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints, overload

from tensorprog.build.assemble import assemble
from tensorprog.build.family import names
from tensorprog.build.inputs import Data, Output, data
from tensorprog.build.value import Value, noun
from tensorprog.errors import InvalidProgram
from tensorprog.language.instr import Axis
from tensorprog.language.program import Network, Program, Readout, Training

Axes = Mapping[str, tuple[str, ...]]
NetworkFunction: TypeAlias = Callable[..., Output]
F = TypeVar("F", bound=Callable[..., Any])
ProgramFunction: TypeAlias = Callable[..., Value | tuple[Value, ...]]


@overload
def network(function: NetworkFunction, /) -> Callable[..., Network]: ...
@overload
def network(**axes: str | tuple[str, ...]) -> Callable[[NetworkFunction], Callable[..., Network]]: ...
def network(function: NetworkFunction | None = None, /, **axes: str | tuple[str, ...]) -> Any:
    """Decorator: a function of inputs and options that returns a readout becomes a builder of networks.

    `@tp.network` for inputs that are single vectors; `@tp.network(xs="time")` when the input xs has one vector for every position of an axis, whose
    size is given at the call: `rnn(time=3)`. Parameters of the function that are not given at the call and have no default are the inputs.

    Raises:
        InvalidProgram: at the call: a missing axis size, an option that does not exist, or a mistake in the function itself.
    """

    def decorate(function: NetworkFunction) -> Callable[..., Network]:
        over = _axes_of_inputs(function, axes)

        @wraps(function)
        def build(**options: Any) -> Network:
            inputs, arguments = _bind(function, over, options)
            output = function(**arguments)
            if not isinstance(output, Output):
                raise InvalidProgram(
                    f"[network] {function.__name__} returns {noun(output)}. A network ends in a readout: v = tp.readout('v'); return v @ x. "
                    "A program without a readout is @tp.program."
                )
            return _network(function.__name__, output, inputs)

        return _with_options(build, function, over)

    return decorate if function is None else decorate(function)


@overload
def program(function: ProgramFunction, /) -> Callable[..., Program]: ...
@overload
def program(**axes: str | tuple[str, ...]) -> Callable[[ProgramFunction], Callable[..., Program]]: ...
def program(function: ProgramFunction | None = None, /, **axes: str | tuple[str, ...]) -> Any:
    """Decorator: a function that returns vectors or scalars becomes a builder of bare programs; like `network`, without a readout."""

    def decorate(function: ProgramFunction) -> Callable[..., Program]:
        over = _axes_of_inputs(function, axes)

        @wraps(function)
        def build(**options: Any) -> Program:
            inputs, arguments = _bind(function, over, options)
            returned = function(**arguments)
            outputs = returned if isinstance(returned, tuple) else (returned,)
            for output in outputs:
                if not isinstance(output, Value):
                    raise InvalidProgram(f"[program] {function.__name__} returns {noun(output)}. A program returns vectors and scalars.")
            return assemble(function.__name__, outputs, inputs).program

        return _with_options(build, function, over)

    return decorate if function is None else decorate(function)


def _axes_of_inputs(function: Callable[..., Any], axes: Mapping[str, str | tuple[str, ...]]) -> Axes:
    parameters = inspect.signature(function).parameters
    for name in axes:
        if name not in parameters:
            raise InvalidProgram(f"[network] axes are declared for {name!r}, but {function.__name__} has the parameters {', '.join(parameters)}.")
    return {name: names(own) for name, own in axes.items()}


def _with_options(build: F, function: Callable[..., Any], axes: Axes) -> F:
    """`build` with the signature that callers see: the options, and the axis sizes that are no options; inputs are left out."""
    parameters = inspect.signature(function).parameters.values()
    options = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters if not (p.name in axes or p.annotation in (Data, "Data", "tp.Data"))]
    missing = dict.fromkeys(axis for own in axes.values() for axis in own if axis not in {p.name for p in parameters})
    options += [inspect.Parameter(axis, inspect.Parameter.KEYWORD_ONLY, annotation=int) for axis in missing]
    documented: Any = build
    documented.__signature__ = inspect.Signature(options)
    return build


def _bind(function: Callable[..., Any], axes: Axes, options: Mapping[str, Any]) -> tuple[list[Data], dict[str, Any]]:
    """The inputs, and all arguments of the function with the inputs in their places."""
    parameters = inspect.signature(function).parameters
    sizes = {name for own in axes.values() for name in own}
    for name in options:
        if name not in parameters and name not in sizes:
            own = (p.name for p in parameters.values() if p.default is not p.empty)
            known = ", ".join((*own, *sorted(sizes - set(parameters)))) or "none"
            raise InvalidProgram(f"[network] {function.__name__} has no option {name!r}; it has {known}.")
    _check_choices(function, options)
    given = {name: p.default for name, p in parameters.items() if p.default is not p.empty} | dict(options)
    inputs = [data(name, tuple(_axis(function, name, axis, given) for axis in axes.get(name, ()))) for name in parameters if name not in given]
    return inputs, {name: value for name, value in given.items() if name in parameters} | {x.input.name: x for x in inputs}


def _check_choices(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Options that are annotated with a Literal have one of its values."""
    try:
        hints = get_type_hints(function)
    except NameError:  # annotations that only a type checker can read
        return
    for name, value in options.items():
        choices = get_args(hints.get(name)) if get_origin(hints.get(name)) is Literal else ()
        if choices and value not in choices:
            raise InvalidProgram(f"[network] {function.__name__}: {name} is {value!r}. Choose one of {', '.join(map(repr, choices))}.")


def _axis(function: Callable[..., Any], owner: str, axis: str, given: Mapping[str, Any]) -> Axis:
    size = given.get(axis)
    if not isinstance(size, int) or size < 1:
        found = "is not given" if size is None else f"is {size!r}"
        raise InvalidProgram(f"[axes] the size of axis {axis!r} of input {owner!r} {found}. Call {function.__name__}({axis}=3), say.")
    return Axis(axis, size)


def _network(name: str, output: Output, inputs: list[Data]) -> Network:
    symbols = [v for v, _ in output.terms]
    if len({v.name for v in symbols}) < len(symbols) or len({(v.kind, v.outputs) for v in symbols}) > 1:
        raise InvalidProgram("[readout] readouts that are added need names of their own, one kind, and equally many outputs.")
    made = assemble(name, [x for _, x in output.terms], inputs, reserved=[v.name for v in symbols])
    readouts = tuple(Readout(v.name, made.names[x.serial], x.width.name, v.axes, v.sigma) for v, x in output.terms if x.width is not None)
    training = {tensor: how for tensor, how in {**made.training, **{v.name: v.training for v in symbols}}.items() if how != Training()}
    return Network(made.program, readouts, symbols[0].outputs, symbols[0].kind, training)
