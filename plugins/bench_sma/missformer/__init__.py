"""MISSFormer, whose bridge lets the tokens of all scales attend to each other."""
