"""HiFormer: a network, its fusion of two levels, and where its weights come from."""
