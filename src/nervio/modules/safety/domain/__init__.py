"""Rules of safety on plain values, one file a concern: stops (`halts`), external actions (`actions`), `alerts`."""
