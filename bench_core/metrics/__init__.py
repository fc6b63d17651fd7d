"""Segmentation metrics, from pixel counts and from label maps; numpy only."""
