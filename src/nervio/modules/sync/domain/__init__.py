"""The rules of sync on plain values: which queries are let through (`queries`), and what is asked of a source page by page."""
