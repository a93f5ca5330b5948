"""Payloads of the facts that cross modules: versioned, past tense, plain data."""
