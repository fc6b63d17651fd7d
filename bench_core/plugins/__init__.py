"""Plugins: the only wiring, lookup by name, and the files that they came from."""
