"""Generated images that look like three modalities, with exact masks and a difficulty knob."""
