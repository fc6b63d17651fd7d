"""The step `grad-cam`: where networks look, as heat maps and in numbers."""
