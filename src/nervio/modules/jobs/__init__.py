"""Background jobs: work that modules ask for, done later, by whoever has the role `jobs`, in steps that survive everything.

Owns the queue `jobs` of `db/queue.py`. Promises that a job is begun again after a crash, that each of its steps happens exactly
once, and that none begins during a stop. Never knows what a job does: that is its module's handler.
"""
