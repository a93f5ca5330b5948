"""Named locks: the lease in the database, and where its waiters wait. The implementations of `nervio.ports.lock.Locks`."""
