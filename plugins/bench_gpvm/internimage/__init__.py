"""InternImage (Wang et al., CVPR 2023)."""
