"""The proofs: suites by module, conformance of adapters, journeys, simulation, architecture."""
