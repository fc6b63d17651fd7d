"""TransUNet, an earlier hybrid of a convolutional network and a vision transformer."""
