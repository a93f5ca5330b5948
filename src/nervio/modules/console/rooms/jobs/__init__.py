"""Background jobs: how each stands, and what may be done about it."""
