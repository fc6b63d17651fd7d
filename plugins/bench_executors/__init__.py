"""Where the workers of a study can be started: schedulers and clusters."""
