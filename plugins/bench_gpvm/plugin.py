"""Declarations of this package."""
