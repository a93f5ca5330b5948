"""Plain values every layer speaks in: money, quantity, ids, time, errors.

Owns no state and imports nothing but the standard library, so any layer may rest on it.
"""
