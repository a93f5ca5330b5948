"""What happened just now, how far those who hear of it are, and what they could not digest."""
