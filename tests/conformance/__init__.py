"""Proofs that hold for every database and adapter."""
