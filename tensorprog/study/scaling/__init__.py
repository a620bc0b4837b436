"""How fast test errors fall with data: networks and their kernels (Vyas, Bansal & Nakkiran 2022, arXiv 2206.10012)."""
