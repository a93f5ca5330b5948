"""Ways to reach workers: in this process (`local`)."""
