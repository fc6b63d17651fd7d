"""Networks that other libraries hold, by name."""
