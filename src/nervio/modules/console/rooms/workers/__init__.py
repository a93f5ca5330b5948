"""Who does AI work, what has been learnt of it, and what the shop used."""
