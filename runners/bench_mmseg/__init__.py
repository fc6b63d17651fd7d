"""MMEngine/MMSegmentation runner: its room; the engine follows."""
