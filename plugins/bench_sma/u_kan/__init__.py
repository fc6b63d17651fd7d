"""U-KAN (Li et al., AAAI 2025)."""
