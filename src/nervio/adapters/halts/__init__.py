"""Waking processes when the stops change, and the mirror for old clients, one adapter a file."""
