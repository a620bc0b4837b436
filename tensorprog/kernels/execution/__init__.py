"""How computations are run: compiled in a short time or by NumPy, side by side on the cores, into memory that is not copied."""
