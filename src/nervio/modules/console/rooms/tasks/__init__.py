"""What was asked of AI, how each stands, and why one waits."""
