"""Results on disk: claims, checkpoints, sealed results, provenance."""
