"""The step `cost`: parameters and arithmetic by formula, and what a device takes for them, measured."""
