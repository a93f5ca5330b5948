"""The verticals, each a small house of its own. Only `api` and `contracts` of a module may be used from another."""
