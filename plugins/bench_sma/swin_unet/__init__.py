"""Swin-Unet (Cao et al., ECCV Workshops 2022)."""
