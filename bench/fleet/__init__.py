"""The bench of the fleet."""
