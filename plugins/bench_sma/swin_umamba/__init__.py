"""Swin-UMamba: selective state spaces in the encoder of a U-shaped network."""
