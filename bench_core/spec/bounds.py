"""How much a job may be given; a spec, and what is made of one, holds no more."""

MOST_THREADS = 1024
"""CPU threads, and likewise loader processes, of one job."""
MOST_DEVICES = 64
"""Devices of one job."""
