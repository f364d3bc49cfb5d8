"""What makes the networks fast or small, apart from what they mean: exact swaps and streaming, each switchable."""
