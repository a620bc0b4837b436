"""Bad input gets an error of the right kind that says what was found."""

import pytest

from tests.invalid.bad_input import TABLE, BadInput, run

CASES = [case for cases in TABLE.values() for case in cases]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_bad_input_is_refused(case: BadInput) -> None:
    with pytest.raises(case.kind) as refused:
        run(case.code)
    assert case.says in str(refused.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_a_message_names_a_way_out(case: BadInput) -> None:
    """After the finding stands a sentence of its own, or a question that contains it."""
    with pytest.raises(case.kind) as refused:
        run(case.code)
    for line in str(refused.value).splitlines():
        assert line.rstrip().endswith((".", "?")), line
