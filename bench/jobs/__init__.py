"""The bench of background jobs."""
