"""Kernels on vectors by tables: functions of three numbers a pair, found by analysis of the program, as short Chebyshev series."""
