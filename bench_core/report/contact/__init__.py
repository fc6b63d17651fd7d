"""Contact sheets: what the images and masks of a dataset look like before anything is trained on them."""
