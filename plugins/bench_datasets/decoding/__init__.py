"""Image and mask files, decoded without trusting what they promise."""
