"""Native PyTorch runner."""
