"""Results to numbers: every figure of a report is derived here."""
