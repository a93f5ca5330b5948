"""The rules that watch the shop: how they stand, what they tripped on, and how they are set."""
