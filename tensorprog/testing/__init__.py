"""For users' own tests: random programs, networks and inputs (hypothesis strategies), and the Master Theorem as assertions.

A law about all programs, and the convergence of one architecture:

    @given(st.data())
    def test_my_transform(data):
        program = data.draw(programs())
        assert_agree(my_transform(program), key=jax.random.key(0), inputs=data.draw(inputs(program)))

    def test_my_architecture():
        assert_converges(my_network(), x)

A failure prints the program, the numbers, and how far they are apart.
"""

from tensorprog.testing.agreement import assert_agree
from tensorprog.testing.convergence import assert_converges
from tensorprog.testing.mutations import Mutation, mutations
from tensorprog.testing.strategies import Features, features, inputs, networks, programs, read_out

__all__ = ["Features", "Mutation", "assert_agree", "assert_converges", "features", "inputs", "mutations", "networks", "programs", "read_out"]
