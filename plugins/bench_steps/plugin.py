"""What this package declares."""

from __future__ import annotations
