"""Asking AI a question."""
