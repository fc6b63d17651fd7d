"""SegFormer (Xie et al., NeurIPS 2021)."""
