"""The reference has every public name that is imported when it is first asked for."""

import re
from pathlib import Path

import pytest

import tensorprog as tp

PAGES = Path(__file__).parents[2] / "docs" / "api"
MODULES = {name for page in PAGES.glob("*.md") for name in re.findall(r"automodule:: (\S+)", page.read_text())}


@pytest.mark.parametrize("name", tp.LATER)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    listed = tp.LATER[name].split(":")[0]
    defined = getattr(getattr(tp, name), "__module__", listed)
    assert MODULES & {listed, listed.rpartition(".")[0], defined}, f"docs/api has no section for {defined}"
