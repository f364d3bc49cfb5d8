"""Text2CT (arXiv 2506.00633): report, text tower, rectified flow in the latent of a VAE, chest CT."""
