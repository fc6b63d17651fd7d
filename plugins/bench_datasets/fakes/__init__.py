"""Small copies in the published layouts, drawn by this package, one file each."""
