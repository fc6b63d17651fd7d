"""TransNeXt (Shi, CVPR 2024)."""
