"""SegNeXt (Guo et al., NeurIPS 2022)."""
