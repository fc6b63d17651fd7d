"""The MMEngine runner, and MMSegmentation's networks for any runner."""
