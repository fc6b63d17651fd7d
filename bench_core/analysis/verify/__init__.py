"""Checks over a store of finished jobs: that what was compared was one experiment, shown from files alone."""
