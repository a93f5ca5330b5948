"""The journal: every movement of stock and money, double entry, append only, sealed.

Owns entries, postings, seals and balances. Promises that postings balance by construction, that nothing is ever
updated or deleted, and that any later change of a sealed range is found and located. Never decides whether a deed is
allowed, and knows tenants and actors only by id.
"""
