"""Training code for the networks of text2ct; it is never needed to run them."""
