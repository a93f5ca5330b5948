"""The values that cross the boundary of safety, one file a concern: stops (`halts`), external actions (`actions`), `alerts`."""
