"""The mechanics below every module: schema, dialects, batches, group commit, leases, outbox, backups."""
