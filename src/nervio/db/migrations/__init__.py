"""Owns the one tree of schema revisions, which runs alike on SQLite and PostgreSQL.

Promises that the tables after the last revision equal the metadata of the code, and that a revision keeps the rows it
meets. Never goes back: a downgrade would have to throw rows away, so the way back is the backup made before upgrading.
"""
