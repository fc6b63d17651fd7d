"""First-party steps: work on what finished jobs left behind."""
