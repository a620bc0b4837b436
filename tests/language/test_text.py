"""parse(show(p)) == p, and what is said of texts that are no programs."""

from __future__ import annotations

import math

import pytest

from tensorprog.errors import InvalidProgram
from tensorprog.language.expr import Add, Apply, Expr, Gather, Mul, Number, Power, Ref, Softmax, Sum, Tensor, identity, one_hot
from tensorprog.language.finding import MAX_CHARACTERS, MAX_DEPTH
from tensorprog.language.infix import expression
from tensorprog.language.instr import InitScalar, InitVector, MatMul, Moment, Nonlin
from tensorprog.language.listing import items
from tensorprog.language.nonlin import derivative, fn, named, user_function
from tensorprog.language.program import Network, Program
from tensorprog.language.text import parse, parse_expression, read, show
from tests.language.random_programs import random_network, random_program

GATE = user_function("gate", lambda x, y: x * y, arity=2)
FUNCTIONS = {"gate": GATE, "sum": user_function("sum", lambda x: x)}

MLP = """\
network mlp
width n
width m = 4 n
axis token 4
input x over token
matrix W1 : m x n, sigma 1.5
vector g0 : n over token = U x, sigma 2
vector b1 : m ~ N(0, 0.01)
scalar theta = n^-0.5
x1 := relu(g0)
h2 := W1 x1
x2 := tanh(h2 + theta * b1)
dx1 := W1^T x2
c := moment(x2 * x2)
readout v^T x2 : m over token, sigma 0.5
outputs 10
train W1 : rate 0, unit
return h2, c
"""

x, y, c = Ref("x"), Ref("y"), Ref("c")
EXPRESSIONS: dict[str, Expr] = {
    "x": x,
    "-x": Mul((Number(-1.0), x)),
    "x - y": Add((x, Mul((Number(-1.0), y)))),
    "x - (-y)": Add((x, Mul((Number(-1.0), Mul((Number(-1.0), y)))))),
    "x - 2 * y": Add((x, Mul((Number(-2.0), y)))),
    "-1 * 3": Mul((Number(-1.0), Number(3.0))),
    "x + (y + c)": Add((x, Add((y, c)))),
    "(x + y) * c": Mul((Add((x, y)), c)),
    "x * (y * c)": Mul((x, Mul((y, c)))),
    "x * (-2)": Mul((x, Number(-2.0))),
    "x / y": Mul((x, Power(y, -1.0))),
    "x / y^2": Mul((x, Power(y, -2.0))),
    "x / (y^2)": Mul((x, Power(Power(y, 2.0), -1.0))),
    "x^-0.5": Power(x, -0.5),
    "(-2)^2": Power(Number(-2.0), 2.0),
    "-x^2": Mul((Number(-1.0), Power(x, 2.0))),
    "inf": Number(math.inf),
    '"inf"': Ref("inf"),
    '"h 2\\n\\"" + "x\'"': Add((Ref('h 2\n"'), Ref("x'"))),
    "layer1.x + h̃": Add((Ref("layer1.x"), Ref("h̃"))),
    "0.1 + 0.30000000000000004": Add((Number(0.1), Number(0.1 + 0.2))),
    "relu(x)": Apply(fn("relu"), (x,)),
    "tanh''(x)": Apply(named("tanh", (), (2,), {}), (x,)),
    "tanh{4}(x)": Apply(named("tanh", (), (4,), {}), (x,)),
    "leaky_relu[0.2](x)": Apply(fn("leaky_relu", 0.2), (x,)),
    "leaky_relu[0.2]'(x)": Apply(named("leaky_relu", (0.2,), (1,), {}), (x,)),
    "gate(x, y)": Apply(GATE, (x, y)),
    "gate{1,0}(x, y)": derivative(GATE, (x, y), 0),
    "gate{0,2}(x, y)": Apply(named("gate", (), (0, 2), FUNCTIONS), (x, y)),
    '"sum"(x)': Apply(FUNCTIONS["sum"], (x,)),
    "sum[token](x)": Sum("token", x),
    "softmax[source](c)": Softmax("source", c),
    "select[token 2](x)": Gather(x, "token", None, (2,)),
    "rename[token -> source 3](x)": Gather(x, "token", "source", (0, 1, 2)),
    "shift[token 4, +1](x)": Gather(x, "token", "token", (-1, 0, 1, 2)),
    "shift[token 4, -2](x)": Gather(x, "token", "token", (2, 3, -1, -1)),
    "gather[token -> token: 3, 0..2](x)": Gather(x, "token", "token", (3, 0, 1, 2)),
    "gather[token -> half: 0, 2](x)": Gather(x, "token", "half", (0, 2)),
    "gather[token: 0, 1](x)": Gather(x, "token", None, (0, 1)),
    "gather[token -> none: ](x)": Gather(x, "token", "none", ()),
    "onehot[token 4](2)": one_hot("token", 4, 2),
    "eye[token, source 2]": identity("token", "source", 2),
    "tensor[token 2, source 1](1, -0.5)": Tensor(("token", "source"), (2, 1), (1.0, -0.5)),
    "tensor[](3)": Tensor((), (), (3.0,)),
    "add()": Add(()),
    "add(x) + mul(y)": Add((Add((x,)), Mul((y,)))),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_is_written_as_in_mathematics_and_read_back(text: str) -> None:
    assert expression(EXPRESSIONS[text]) == text
    assert parse_expression(text, FUNCTIONS) == EXPRESSIONS[text]


@pytest.mark.parametrize(("loose", "text"), [("x+-y*--2", "x + (-y) * 2"), ("( ( x ) )", "x"), ("2*3 - -1", "2 * 3 + 1"), ("x/2", "x / 2")])
def test_what_people_type_is_read_too(loose: str, text: str) -> None:
    assert expression(parse_expression(loose)) == text


def test_a_network_is_printed_as_it_was_written() -> None:
    net = parse(MLP)
    assert isinstance(net, Network)
    assert show(net) == MLP
    assert net.outputs == 10
    assert net.training["W1"].rate == 0
    assert net.program.body[3] == MatMul("dx1", "W1", "x2", transpose=True)


def test_comments_blank_lines_and_order_of_declarations_do_not_matter() -> None:
    lines = MLP.splitlines()
    shuffled = "\n".join(["# a file", lines[0], "", *lines[5:9], "  ", *lines[1:5], *(line + "   # why" for line in lines[9:])])
    assert show(parse(shuffled)) == MLP
    source = read(shuffled)
    listed = show(source.program).splitlines()
    for place, line in zip(source.lines, listed, strict=True):
        assert shuffled.split("\n")[place - 1].split("#")[0].strip() == line


@pytest.mark.parametrize("seed", range(200))
def test_random_programs_and_networks_are_read_back_exactly(seed: int) -> None:
    for p in (random_program(seed), random_network(seed)):
        assert parse(show(p)) == p


def test_the_random_programs_hold_every_kind_of_line_and_node() -> None:
    text = "".join(show(random_network(seed)) for seed in range(50))
    for part in (
        "moment(",
        "^T ",
        "over",
        "covariance",
        "given",
        "sum[",
        "softmax[",
        "select[",
        "rename[",
        "gather[",
        "onehot[",
        "eye[",
        "'(",
        " / ",
        "kind",
    ):
        assert part in text, part


def test_a_number_is_read_back_bit_by_bit() -> None:
    values = (math.pi, 1e-300, 5e-324, 1.7976931348623157e308, 1 / 3, 1e15, 123456789012345678.0, -0.1)
    p = Program(body=(Nonlin("x", Tensor(("a",), (len(values),), values)),))
    (i,) = parse(show(p)).body
    assert i.psi.values == values


def test_scalars_have_a_value_at_each_n() -> None:
    text = "program p\nscalar a = n^-0.5\nscalar b = -2 n^-1\nscalar c = 3\nscalar d = given\nscalar e over t = given n^-0.5\nscalar f = 1\nreturn"
    p = parse(text)
    assert isinstance(p, Program)
    assert p.scalars == (
        InitScalar("a", (), 1.0, -0.5),
        InitScalar("b", (), -2.0, -1.0),
        InitScalar("c", (), 3.0),
        InitScalar("d"),
        InitScalar("e", ("t",), None, -0.5),
        InitScalar("f", (), 1.0),
    )


def test_keywords_are_names_too() -> None:
    p = Program(
        "network",
        vectors=(InitVector("width", "n"), InitVector("moment", "n")),
        body=(Nonlin("return", Ref("width")), Moment("vector", Ref("moment"))),
    )
    assert parse(show(p)) == p


def _refused(text: str) -> str:
    with pytest.raises(InvalidProgram) as e:
        parse(text)
    return str(e.value)


def test_all_problems_of_a_text_are_told_at_once() -> None:
    said = _refused("program p\na := relu(x\nb := foo(x)\nc := x +\nd ! x\nfoo\nreturn a").splitlines()
    assert said[0] == "line 2, column 12: a := relu(x: [syntax] the line ends where ')' is expected. Write ')' here."
    assert said[1].startswith("line 3, column 6: b := foo(x): [nonlin] no nonlinearity is called 'foo'; built in are abrelu, abs, ")
    assert said[1].endswith("Use one of these, or pass functions={'foo': ...} when the text is read.")
    assert said[2] == "line 4, column 9: c := x +: [syntax] the line ends where an expression is expected. Write an expression here."
    assert said[3].startswith("line 5, column 3: d ! x: [syntax] the character '!' means nothing here.")
    assert said[4].startswith("line 6, column 1: foo: [syntax] 'foo' begins no line.")
    assert len(said) == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: : [syntax] the text does not begin with `program name` or `network name`. Add that line."),
        (MLP.rsplit("return", 1)[0], "[syntax] the text ends without a return line; it may be cut off."),
        (MLP[:-150], "[syntax]"),
        (MLP + "x9 := relu(x2)\n", "line 18: return h2, c: [syntax] lines follow the return line. Put it last."),
        (
            MLP.replace("network", "program"),
            "line 15: readout v^T x2 : m over token, sigma 0.5: [syntax] this line belongs to a network, and this is a program.",
        ),
        (MLP.replace("outputs 10", "outputs 10\noutputs 3"), "line 17: outputs 3: [syntax] this line stands twice. Keep one of them."),
        ("program p\nx := sum(y)\nreturn", "line 2, column 9: x := sum(y): [syntax] '(' stands where '[' is expected."),
        ("program p\nx := relu''(y, z)\nreturn", "a prime does not say which of the 2 arguments of relu is meant"),
        ("program p\nx := tanh{100}(y)\nreturn", "derivatives of order [100] are not provided"),
        ("program p\nx := hermite[2.5](y)\nreturn", "hermite takes an integer from 0 to 100, got 2.5"),
        ("program p\nx := relu[2](y)\nreturn", "relu takes 0 constants (none), got 1"),
        ("program p\nx := 1e999 * y\nreturn", "the number 1e999... is out of range"),
        ("program p\nx := y * moment(z)\nreturn", "[moment] moment stands inside an expression. Give it a line of its own: c := moment(..)."),
        ('program p\nx := "y\nreturn', "the quoted name does not end"),
        ("program p\nwidth m = 1/0 n\nreturn", "[width] the ratio divides by zero"),
        ("program p\nvector v : n ~ N(0)\nreturn", "[init] N takes a mean and a variance, got 1 numbers"),
    ],
)
def test_a_faulty_text_is_refused_with_its_fault(text: str, told: str) -> None:
    assert told in _refused(text)


@pytest.mark.parametrize("opening", ["(", "relu(", "sum[a](", "-(", "1 + (", "add("])
def test_deep_nesting_is_refused_and_no_stack_overflows(opening: str) -> None:
    said = _refused(f"program p\nx := {opening * 100_000}\nreturn")
    assert f"the expression is nested more than {MAX_DEPTH} deep" in said
    assert len(said) < 500


def test_nesting_at_the_limit_is_read() -> None:
    e: Expr = Ref("x")
    for _ in range(MAX_DEPTH - 1):
        e = Apply(fn("relu"), (e,))
    assert parse_expression(expression(e)) == e
    with pytest.raises(InvalidProgram, match=f"nested {MAX_DEPTH + 1} deep"):
        expression(Apply(fn("relu"), (e,)))


@pytest.mark.parametrize(
    "table", ["onehot[a 1000000000000](3)", "eye[a, b 1000000]", "rename[a -> b 99999999999](x)", "gather[a -> b: 0..9999999999](x)"]
)
def test_a_huge_table_is_refused_before_it_is_made(table: str) -> None:
    assert "[axis]" in _refused(f"program p\naxis a 1000000000000\nx := {table}\nreturn")


def test_many_large_tables_are_refused_together() -> None:
    lines = "\n".join(f"x{i} := rename[a -> b 900000](y)" for i in range(50))
    assert "the tables of this text have more than 4000000 entries" in _refused(f"program p\n{lines}\nreturn")


def test_a_huge_text_is_refused_at_once() -> None:
    assert "the text has" in _refused("program p\nx := " + "y" * MAX_CHARACTERS)


def test_an_expression_of_very_many_parts_is_refused() -> None:
    said = _refused(f"program p\nx := {'y + ' * 2_000_000}y\nreturn")
    assert "[expression] the expression has more than 100000 variables and constants. Give its parts names." in said


def test_a_long_line_is_quoted_in_part() -> None:
    assert len(_refused("program p\nx := " + "y + " * 50_000 + "\nreturn")) < 300


def test_the_listing_has_one_line_an_item() -> None:
    net = random_network(3)
    assert len(show(net).splitlines()) == len(items(net))
