"""A rule has one name: in the documentation, in the code that applies it, in a test."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LABEL = re.compile(r"^\| (\[[a-z]+(?:-[a-z]+)*\]) +\|", re.MULTILINE)


def words(folder: str) -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / folder).rglob("*.py")) if p != Path(__file__))


def included(page: str) -> str:
    """The page with the heads of the files that it includes."""
    files = re.findall(r"\{include\} \.\./(\S+)", page)
    return page + "".join((ROOT / f).read_text(encoding="utf-8").split('"""')[1] for f in files)


RULES = sorted(set(LABEL.findall(included((ROOT / "docs" / "rules.md").read_text(encoding="utf-8")))))
CODE, TESTS = words("tensorprog"), words("tests")


def test_the_page_holds_the_rules_of_the_theorem() -> None:
    assert {"[init]", "[nonlin]", "[moment]", "[matmul-hat]", "[matmul-dot]", "[readout]", "[name]", "[matmul]", "[growth]"} <= set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_one_name(rule: str) -> None:
    name = rule.strip("[]")
    assert rule in CODE or f'"{name}"' in CODE, "not in the code"
    assert rule in TESTS or f'"{name}"' in TESTS, "not in a test"


@pytest.mark.parametrize("file", ["language/judgement.py", "language/declarations.py", "language/hypotheses.py", "transform/backprop.py"])
def test_every_rule_of_the_code_is_documented(file: str) -> None:
    rules = set(re.findall(r"\| (\[[a-z]+(?:-[a-z]+)*\]) +\|", (ROOT / "tensorprog" / file).read_text(encoding="utf-8").split('"""')[1]))
    assert rules
    assert rules <= set(RULES)
