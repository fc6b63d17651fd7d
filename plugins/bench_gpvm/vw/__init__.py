"""VWFormer (Yan et al., ICLR 2024)."""
