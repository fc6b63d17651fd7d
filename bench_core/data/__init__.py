"""Dataset on disk to samples, folds, cached arrays and batches."""
