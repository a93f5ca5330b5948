"""Wires of live lines that a vendor's library speaks."""
