"""The bodies of the stock module's use cases: documents, holds, upkeep."""
