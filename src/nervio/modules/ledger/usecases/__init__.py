"""How the journal is sealed, folded into balances, audited and exported.

Owns the chain of blocks, the file of saved heads and the snapshot of balances. Promises that the chain never forks and
that whatever differs from what was sealed is found and located. Never changes an entry.
"""
