"""Catalogues of other databases, kept in step with collections of vectors.

Owns what a source is asked. Promises that only what was read and understood as one SELECT is ever sent, and that pages by key lose no
row while the source changes. Never knows how a source is reached: that is its adapter's.
"""
