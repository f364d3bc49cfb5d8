"""LesionDiffusion: LMNet draws a lesion mask in a box, LINet paints it into the latent of a VQ-GAN."""
