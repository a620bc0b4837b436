"""The kinds of error: the user's fault, outside the theorem, the machine's fault, our fault. All are ValueErrors with a message for a person.

A message names the line (where there is one), the rule, the finding and the way out:
`line 4: h2 := W1 x1: [matmul] W1 is n x m but x1 has width n. Transpose W1, or give x1 width m.`
"""


class TensorProgramError(ValueError):
    """Anything that tensorprog refuses to do."""


class InvalidProgram(TensorProgramError):
    """The user's fault: a program, a file, an argument or data that has no meaning. The message names the way out."""


class OutsideTheory(TensorProgramError):
    """Well formed, but no theorem covers it: a scalar that does not converge, an expectation that is infinite."""


class Diverged(OutsideTheory):
    """Numbers beyond the range of floating point, as in training at a learning rate that is too large."""


class Incomplete(TensorProgramError):
    """The machine's fault: a full disk, a lost process. What is done is kept; the message says how to go on."""


class InternalError(TensorProgramError):
    """Our fault: a state that should be impossible. Please report it with the program that caused it."""
