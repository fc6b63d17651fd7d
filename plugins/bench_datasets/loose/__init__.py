"""Images of no dataset, decoded for predictions as the readers here decode their own."""
