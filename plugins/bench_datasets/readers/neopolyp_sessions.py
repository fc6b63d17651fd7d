"""Which NeoPolyp images were taken in one session, and so of one patient almost surely.

Date and time are burned into the images; images of one day with gaps of at most 10 minutes are one session:
327 sessions among the 992 training images whose clock can be read. The shipped table holds numbers in place
of dates, which would tell when a patient was examined.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path

TABLE = Path(__file__).with_name("neopolyp_sessions.csv")


def session_of(name: str) -> str | None:
    """Return the session's number of an image by its name without extension; None where it is not known."""
    return sessions().get(name)


@functools.cache
def sessions() -> Mapping[str, str]:
    """Return the session of every known labelled image, in the table's order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "train" and row["session"]]
    return {row["name"]: row["session"] for row in rows}
