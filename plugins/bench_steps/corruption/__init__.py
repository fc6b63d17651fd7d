"""The step `corruption`: tested networks on their test images under corruptions of imaging."""
