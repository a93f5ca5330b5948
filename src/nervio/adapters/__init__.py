"""Implementations of the ports: the only code that imports a vendor's SDK."""
