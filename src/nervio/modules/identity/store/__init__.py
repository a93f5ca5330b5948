"""Every query of identity.

Owns the statements over its tables: tenants and the people in them (`people`), and what callers prove themselves with
(`credentials`). Promises that a secret is only ever looked up by its hash.
"""
