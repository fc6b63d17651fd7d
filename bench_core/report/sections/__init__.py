"""The first-party parts of a report, one file each."""
