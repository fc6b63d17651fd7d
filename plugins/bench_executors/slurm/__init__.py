"""Workers under Slurm: one array of equal elements, each of which pulls jobs from the store."""
