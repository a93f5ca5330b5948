"""Stopping and resuming inside the fence, and the watch that keeps what is in force in memory."""
