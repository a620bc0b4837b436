"""The command line: each command is one function of the library, asked of an architecture by name or of a program file."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence


def main(tokens: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all went well, 1 when a check of a study failed, 2 when the input was refused, 130 when interrupted."""
    try:
        return _run(tokens)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        if tokens is None:  # this process is the command: a computation that still runs in a thread of JAX's would crash an orderly exit
            sys.stdout.flush()
            os._exit(130)
        return 130


def _run(tokens: Sequence[str] | None) -> int:
    from tensorprog.cli.app import app
    from tensorprog.cli.screen import failure
    from tensorprog.errors import TensorProgramError

    try:
        code = app(tokens)
    except TensorProgramError as error:
        for line in str(error).splitlines():
            failure(line)
        return 2
    except OSError as error:
        if error.filename is not None:
            failure(f"{error.filename}: {error.strerror}. Name a place that can be read and written.")
        elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            failure(f"{error.strerror}. Make room, or write to another disk.")
        else:
            raise
        return 2
    return code if isinstance(code, int) else 0
