"""What AI work may cost, and what it did."""
