"""The use cases of background jobs: asking for them, moving them, working them off."""
