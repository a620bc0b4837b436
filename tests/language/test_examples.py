"""The programs in examples/programs: as the listing prints them, valid, each in its language and with its GIA verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tensorprog.language.program import Network
from tensorprog.language.text import parse, show
from tensorprog.language.valid import Language, check

PROGRAMS = Path(__file__).parents[2] / "examples" / "programs"

# name -> language, whether all dots vanish
EXPECTED = {
    "attention": (Language.NETSOR_PLUS, True),
    "convolution": (Language.NETSOR, True),
    "gia_failure": (Language.NETSOR_T_PLUS, False),
    "layernorm": (Language.NETSOR_PLUS, True),
    "mlp": (Language.NETSOR, True),
    "rnn": (Language.NETSOR, True),
    "sgd_step": (Language.NETSOR_PLUS, True),
    "tied_autoencoder": (Language.NETSOR_T, False),
}


def test_every_example_is_expected() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.tp")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example(name: str) -> None:
    text = (PROGRAMS / f"{name}.tp").read_text(encoding="utf-8")
    p = parse(text)
    assert show(p).splitlines() == [line for line in text.splitlines() if not line.startswith("#")]
    report = check(p)
    assert report.ok
    assert not report.warnings
    assert (report.language, bool(report.bp_like)) == EXPECTED[name]
    assert (report.gia is not None) == isinstance(p, Network)
    assert (p.program if isinstance(p, Network) else p).name == name
