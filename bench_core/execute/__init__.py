"""Plan to processes: preflight, workers, one job's way."""
