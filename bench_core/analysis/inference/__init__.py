"""What may be concluded from numbers: intervals, tests and the words for them; see docs/statistics.md."""
