"""Growing numbers as one types them: `64:1024` doubles, `64,100,128` is a list."""

from __future__ import annotations

from tensorprog.errors import InvalidProgram


def widths_of(words: str) -> tuple[int, ...]:
    """`64:2048` doubles from 64 while it is at most 2048; `64,100` is a list.

    Raises:
        InvalidProgram: not whole numbers, not positive, or not growing.
    """
    try:
        if ":" in words:
            low, high = map(int, words.split(":"))
            found = [low]
            while low > 0 and found[-1] * 2 <= high:
                found.append(found[-1] * 2)
        else:
            found = [int(w) for w in words.split(",")]
    except ValueError as error:
        raise InvalidProgram(f"--widths takes 64:2048 or 64,128,256, got {words!r}.") from error
    if found[0] < 1 or sorted(set(found)) != found:
        raise InvalidProgram(f"--widths: {words}: widths are positive and grow. Try 64:2048.")
    return tuple(found)


def rates_of(words: str) -> tuple[float, ...]:
    """`2^-6:2^4` doubles; or a list.

    Raises:
        InvalidProgram: not numbers, not positive, or not growing.
    """
    try:
        if ":" in words:
            low, high = (int(w.strip().removeprefix("2^")) for w in words.split(":"))
            found = tuple(2.0**k for k in range(low, high + 1))
        else:
            found = tuple(float(w) for w in words.split(","))
    except ValueError as error:
        raise InvalidProgram(f"--rates takes 2^-6:2^4 or 0.01,0.1,1, got {words!r}.") from error
    if not found or found[0] <= 0 or sorted(set(found)) != list(found):
        raise InvalidProgram(f"--rates: {words}: rates are positive and grow. Try 2^-6:2^4.")
    return found
