"""Results as files for other programs: CSV and label maps as PNG."""
