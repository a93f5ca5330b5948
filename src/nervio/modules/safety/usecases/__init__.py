"""Stopping and resuming inside the fence, and the watch that keeps what is in force in memory; orders to campaigns from their
booking to their confirmation; alerts from their raising to their delivery."""
