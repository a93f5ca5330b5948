"""Tenants, users, roles, API keys and sessions.

Owns who may do what. Promises that a secret is stored as a hash and shown once, and that nobody sees or touches another
tenant's data. Never knows what the permissions of other modules mean: their manifests declare them.
"""
