"""The proof that two runners are one experiment: one small job under both, compared item by item."""
