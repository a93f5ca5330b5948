"""Planted races: how many the simulation finds, beside a plain stateful test of the same api."""
