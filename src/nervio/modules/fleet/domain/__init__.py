"""The rules of the fleet on plain values: what a task may be, whose turn it is, which worker is likely to be done first."""
