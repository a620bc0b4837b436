"""The Master Theorem by sampling (Yang & Littwin 2021, Thm. B.4): every Z^x is an array of samples, for any program.

roots         where randomness comes from: standard normals (scrambled Sobol points), and initial vectors as linear forms of them
operator      a matrix in the limit: [matmul-hat] a growing Gaussian operator, [matmul-dot] the adjoint of its transpose's
construction  the constants of a program, found line by line, and the map from roots to Z that they define
estimate      answers: the mean over independent replicates, and its standard error
"""

from tensorprog.interpret.particles.construction import Dots
from tensorprog.interpret.particles.estimate import Particles, particles

__all__ = ["Dots", "Particles", "particles"]
