"""Figures of ours beside named peers, measured in one run: `python -m bench NAME [--json] [--quick] [--runs N]`."""
