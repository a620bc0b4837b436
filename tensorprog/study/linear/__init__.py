"""Exact learning dynamics of two-layer linear networks, from lazy to rich (Domine et al. 2025, arXiv 2409.14623)."""
