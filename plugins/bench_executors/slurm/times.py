"""Time limits as Slurm writes them."""

from __future__ import annotations

import re

_TIME = re.compile(
    r"(?:(?P<days>[0-9]{1,4})-)?(?P<first>[0-9]{1,6})(?::(?P<second>[0-9]{1,2}))?(?::(?P<third>[0-9]{1,2}))?"
)
FORMS = "minutes, minutes:seconds, hours:minutes:seconds, days-hours or days-hours:minutes:seconds"


def seconds_of(text: str) -> int:
    """Return the seconds of a time limit, such as "4:00:00" or "1-12"; raises ValueError.

    Source: man sbatch, --time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time limit as Slurm writes it: {FORMS}")
    parts = {name: int(part) for name, part in match.groupdict().items() if part is not None}
    first, second, third = (parts.get(name, 0) for name in ("first", "second", "third"))
    if "days" in parts:
        return (parts["days"] * 24 + first) * 3600 + second * 60 + third
    if "third" in parts:
        return first * 3600 + second * 60 + third
    return first * 60 + second
