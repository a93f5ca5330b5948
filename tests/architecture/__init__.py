"""Rules about the shape of the code, checked by reading it."""
