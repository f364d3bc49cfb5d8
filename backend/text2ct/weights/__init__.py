"""Where checkpoints live: fetched, read without running anything in them, checked, converted once, remembered."""
