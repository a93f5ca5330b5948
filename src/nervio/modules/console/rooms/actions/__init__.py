"""Orders to advertising campaigns, the accounts they run on, and alerts."""
