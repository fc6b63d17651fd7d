"""Time limits as Slurm writes them."""

from __future__ import annotations

import re

_TIME = re.compile(
    r"(?:(?P<days>\d{1,4})-)?(?P<first>\d{1,6})(?::(?P<second>\d{1,2}))?(?::(?P<third>\d{1,2}))?"
)
FORMS = "minutes, minutes:seconds, hours:minutes:seconds, days-hours or days-hours:minutes:seconds"


def seconds_of(text: str) -> int:
    """Return the seconds of a time limit, such as "4:00:00" or "1-12"; raises ValueError.

    Source: man sbatch, --time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time limit as Slurm writes it: {FORMS}")
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    if days is not None:
        hours, minutes, seconds = first, second or 0, third or 0
    elif third is not None:
        hours, minutes, seconds = first, second or 0, third
    else:
        hours, minutes, seconds = 0, first, second or 0
    assert hours is not None and minutes is not None
    return (((days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
