"""Settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import settings

# In CI the examples are the same every time: a run that fails there fails for a change, not by chance.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")
