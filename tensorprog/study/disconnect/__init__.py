"""Where practice leaves the kernel regime (Wenger, Dangel & Kristiadi 2023, arXiv 2310.00137): optimization, uncertainty, continual learning."""
