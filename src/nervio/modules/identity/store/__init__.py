"""Every query of identity.

Owns the statements over its tables: tenants and the people in them (`people`), what callers prove themselves with
(`credentials`), and how often they tried of late (`windows`). Promises that a secret is only ever looked up by its hash.
"""
