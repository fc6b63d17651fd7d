"""Your own images and masks, described in the spec."""
