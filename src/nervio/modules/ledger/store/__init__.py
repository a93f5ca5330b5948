"""Every query of the ledger.

Owns the statements over its tables: reads of one tenant (`journal`), sums of money (`balances`), and what sealer and auditor
read and write over all tenants (`chain`). Promises that nothing it does updates or deletes a fact.
"""
