"""When the NTK approximation is valid: training beside its linearization (Boix-Adsera & Littwin 2023, arXiv 2305.13141)."""
