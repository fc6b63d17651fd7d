"""Weights files: which ones a network reads, how they are had, and how they get into it."""
