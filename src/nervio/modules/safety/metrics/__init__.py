"""What safety counts, one file a concern: the rules that watch (`rules`), external actions and alerts (`actions`)."""
