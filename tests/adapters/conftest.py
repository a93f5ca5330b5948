"""Suites of what adapters are made of, on plain values."""

from hypothesis import HealthCheck, settings

# A deadline on a shared machine measures the neighbours.
settings.register_profile("house", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
