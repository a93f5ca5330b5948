"""The command line, settings, wiring, roles, HTTP and telemetry.

Owns the one place where modules, adapters and the database are put together (`wiring.build`). Promises that nothing
connects, reads a file or starts a thread at import. Never holds a rule of the business.
"""
