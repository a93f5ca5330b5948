"""How facts reach the disk: units of work, group commit, the halt fence, idempotency, outbox, inbox and leases.

Owns the tables of its own mechanics and nothing of the business. Promises that a command commits once, with its
journal and its events, or not at all; never decides what a command means.
"""
