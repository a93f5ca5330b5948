"""The bodies of the sales use cases: selling, taking back, writing off."""
