"""Signals, processes and streams: what must not break, and who lives."""
